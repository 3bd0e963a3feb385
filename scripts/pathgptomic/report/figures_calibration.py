"""Predicted beside observed survival, by groups of predicted survival, one figure a model."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pathgptomic.files import atomic
from pathgptomic.report import style
from pathgptomic.report.sources import read_table
from pathgptomic.report.wording import count, listed, missing, number, p_value

MARKS = ((style.BLUE, "o"), (style.GREEN, "s"), (style.PURPLE, "^"), (style.ORANGE, "D"), (style.GREY, "v"))
ALL = 0  # the group of all patients


def plot_calibration(*, calibration: str | Path, summary: str | Path, out: str | Path) -> None:
    """Draw one figure a model into the folder `out`, named by the model.

    Parameters
    ----------
    calibration
        calibration.tsv of the evaluation.
    summary
        summary.tsv; gives title, calibration slope and D-calibration of each model.
    """
    table = read_table(calibration)
    with atomic(out) as folder:
        folder.mkdir()
        for model in read_table(summary).to_dict("records"):
            rows = table[(table["model"] == model["model"]) & (table["group"] != ALL)]
            if rows["observed"].notna().any():
                _plot_model(rows, model, folder / f"{model['model']}.svg")


def month_words(horizon: str) -> str:
    """Return '3 years' for '36m', '18 months' for '18m'."""
    months = float(horizon.removesuffix("m"))
    return count(months / 12, "year") if months % 12 == 0 else f"{months:g} months"


def _plot_model(rows: pd.DataFrame, model: dict, path: Path) -> None:
    with style.drawing():
        figure = Figure(figsize=(style.PANEL_WIDTH, 3.3))
        axes = figure.add_axes((0.215, 0.135, 0.745, 0.68))
        _dress(axes)
        horizons = rows.sort_values("time_days")["horizon"].unique()
        for mark, horizon in zip(MARKS, horizons, strict=False):
            _draw(axes, rows[rows["horizon"] == horizon], month_words(horizon), *mark)
        axes.legend(frameon=False, loc="lower right", fontsize=7.5, title="alive after", title_fontsize=7.5)
        style.headings(figure, str(model["title"]), _subtitle(model))
        style.save(figure, path, title=f"Calibration: {model['title']}", description=_words(rows, model))


def _dress(axes: Axes) -> None:
    percents = [0, 0.25, 0.5, 0.75, 1]
    labels = [f"{100 * share:.0f} %" for share in percents]
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=percents, yticks=percents)
    axes.set_xticklabels(labels)
    axes.set_yticklabels(labels)
    axes.set_xlabel("Predicted to be alive", labelpad=2)
    axes.set_ylabel("Actually alive (Kaplan-Meier)", labelpad=3)
    axes.plot([0, 1], [0, 1], color=style.MUTED, linewidth=0.8, linestyle=(0, (4, 2)))
    style.rule_lines(axes, "both")


def _draw(axes: Axes, rows: pd.DataFrame, label: str, colour: str, marker: str) -> None:
    rows = rows.dropna(subset="observed").sort_values("predicted")
    axes.vlines(rows["predicted"], rows["ci_low"], rows["ci_high"], color=colour, linewidth=0.9, alpha=0.55)
    axes.plot(
        rows["predicted"],
        rows["observed"],
        marker=marker,
        color=colour,
        markersize=4.5,
        markeredgewidth=0,
        linewidth=0.9,
        label=label,
    )


def _subtitle(model: dict) -> str:
    first = f"{count(model['patients'], 'patient')}, {count(model['events'], 'death')}"
    parts = []
    if not missing(model["calibration_slope"]):
        parts.append(f"calibration slope {number(model['calibration_slope'], 2)}")
    if not missing(model["dcal_p"]):
        parts.append(f"D-calibration {p_value(model['dcal_p'])}")
    return "\n".join([first, ", ".join(parts)])


def _words(rows: pd.DataFrame, model: dict) -> str:
    rows = rows.dropna(subset="observed")
    gaps = (rows["observed"] - rows["predicted"]).abs().groupby(rows["time_days"]).mean()
    names = rows.drop_duplicates("time_days").set_index("time_days")["horizon"]
    parts = [f"{100 * gap:.0f} percentage points after {month_words(names[day])}" for day, gap in gaps.items()]
    subtitle = _subtitle(model).replace("\n", "; ")
    return f"Predicted beside observed survival; mean distance {listed(parts)}. {subtitle}."
