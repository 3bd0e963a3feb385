"""The C-index of every model in one picture: mean, interval, single folds, and the gain over clinical variables alone."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pathgptomic.report import style
from pathgptomic.report.sources import read_table
from pathgptomic.report.wording import DASH, count, interval, missing, number, signed

WIDTH = 680.0  # points; the row height and the columns too
ROW = 17.0
HEAD = 36.0
FOOT = 46.0
COLUMNS = {"name": 6.0, "plot": 236.0, "plot_end": 446.0, "c": 462.0, "gain": 582.0}
NAME_CHARACTERS = 44


def plot_forest(*, summary: str | Path, metrics: str | Path, headline: str, clinical: str, out: str | Path) -> None:
    """Draw the forest plot of all models.

    Parameters
    ----------
    summary
        summary.tsv of the evaluation, rows in the order of the report.
    metrics
        metrics.tsv; gives the C-index of the single folds.
    headline
        Model that the report is about; drawn in colour.
    clinical
        Model of the clinical variables alone; its mean is the vertical line.
    out
        The SVG file to write.
    """
    table, metrics = read_table(summary), read_table(metrics)
    folds = metrics[(metrics["metric"] == "harrell_c") & (metrics["seed"] == "mean") & (metrics["subset"] == "")]
    folds = folds[folds["fold"] != "pooled"].groupby("model")["value"].apply(list)
    rows = forest_rows(table)
    height = HEAD + ROW * len(rows) + FOOT
    with style.drawing():
        figure = Figure(figsize=(WIDTH / 72, height / 72))
        page = figure.add_axes((0, 0, 1, 1))
        page.set(xlim=(0, WIDTH), ylim=(height, 0))
        page.axis("off")
        left, right = COLUMNS["plot"], COLUMNS["plot_end"]
        axes = figure.add_axes((left / WIDTH, FOOT / height, (right - left) / WIDTH, ROW * len(rows) / height))
        _dress(axes, table, folds, len(rows), clinical)
        _head(page)
        for place, row in enumerate(rows):
            y = HEAD + ROW * (place + 0.5)
            if isinstance(row, str):
                page.text(COLUMNS["name"], y + 2, row, va="center", color=style.MUTED, fontsize=8)
            else:
                _row(
                    page,
                    axes,
                    row,
                    y,
                    place,
                    folds.get(row["model"], []),
                    {headline: style.BLUE, clinical: style.ORANGE},
                )
        page.text(COLUMNS["name"], height - 8, _foot(table), fontsize=7.5, color=style.MUTED, va="center")
        style.save(figure, out, title="C-index of all models", description=forest_words(table))


def forest_rows(summary: pd.DataFrame) -> list:
    """Return the rows of the plot: a family's name above its models, unless all are of one family."""
    rows: list = []
    families = summary["family"].fillna("").tolist()
    for record, family, before in zip(summary.to_dict("records"), families, [None, *families], strict=False):
        if family != before and family and len(set(families)) > 1:
            rows.append(family)
        rows.append(record)
    return rows


def forest_words(summary: pd.DataFrame) -> str:
    """Say in words what the plot shows."""
    parts = [f"{row['title']} {number(row['c_mean'])}" for row in summary.to_dict("records")]
    return f"Mean C-index over the test folds: {', '.join(parts)}."


def _limits(summary: pd.DataFrame, folds: pd.Series) -> tuple[float, float]:
    values = [*summary["c_ci_low"], *summary["c_ci_high"], *summary["c_mean"], *(v for each in folds for v in each)]
    values = np.array([value for value in values if np.isfinite(value)] or [0.5, 1.0])
    low, high = max(0.0, values.min() - 0.02), min(1.0, values.max() + 0.02)
    return np.floor(low * 20) / 20, np.ceil(high * 20) / 20


def _dress(axes: Axes, summary: pd.DataFrame, folds: pd.Series, rows: int, clinical: str) -> None:
    axes.set(xlim=_limits(summary, folds), ylim=(rows - 0.5, -0.5), yticks=[])
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(style.few_ticks())
    style.rule_lines(axes, "x")
    axes.set_xlabel("C-index on test patients (0.5 = coin toss, 1 = perfect order)", fontsize=7.5, labelpad=3)
    if axes.get_xlim()[0] < 0.5:
        axes.axvline(0.5, color=style.MUTED, linewidth=0.8, linestyle=(0, (1, 2)))
    reference = summary.loc[summary["model"] == clinical, "c_mean"]
    if len(reference):
        axes.axvline(reference.iloc[0], color=style.ORANGE, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)


def _head(page: Axes) -> None:
    titles = {
        "name": ("Model", ""),
        "plot": ("Mean and interval", "light dots: single folds"),
        "c": ("C-index", "95 % interval"),
        "gain": ("Gain over", "clinical alone"),
    }
    for column, (first, second) in titles.items():
        page.text(COLUMNS[column], 10, first, fontweight="bold", fontsize=8, va="center")
        page.text(COLUMNS[column], 21, second, color=style.MUTED, fontsize=7.5, va="center")


def _row(page: Axes, axes: Axes, row: dict, y: float, place: int, folds: list, colours: dict) -> None:
    colour = colours.get(row["model"], style.MUTED)
    strong = row["model"] in colours
    weight = "bold" if strong else "normal"
    title = str(row["title"])
    title = title if len(title) <= NAME_CHARACTERS else title[: NAME_CHARACTERS - 1] + "…"
    page.text(COLUMNS["name"], y, title, va="center", fontweight=weight, color=colour if strong else style.INK)
    axes.plot(folds, [place] * len(folds), "o", color=colour, alpha=0.22, markersize=3.2, markeredgewidth=0, zorder=2)
    if not missing(row["c_ci_low"]):
        axes.plot([row["c_ci_low"], row["c_ci_high"]], [place, place], color=colour, linewidth=1.4, zorder=3)
    marker = {"marker": "D" if strong else "s", "markersize": 5.5 if strong else 4.5}
    axes.plot(row["c_mean"], place, color=colour, markeredgewidth=0, zorder=4, **marker)
    page.text(COLUMNS["c"], y, number(row["c_mean"]), va="center", fontweight=weight, fontsize=8)
    page.text(
        COLUMNS["c"] + 28, y, interval(row["c_ci_low"], row["c_ci_high"]), va="center", fontsize=8, color=style.MUTED
    )
    page.text(COLUMNS["gain"], y, _gain(row), va="center", fontsize=8)


def _gain(row: dict) -> str:
    delta, verdict = row.get("delta_clinical"), row.get("delta_clinical_verdict")
    if missing(delta):
        return DASH
    words = {"not distinguishable": "n.d.", "not tested": "not tested"}
    return f"{signed(delta)}  {words.get(verdict, verdict)}"


def _foot(summary: pd.DataFrame) -> str:
    first = summary.iloc[0]
    who = f"{count(first['patients'], 'patient')}, {count(first['events'], 'death')}, {count(first['folds'], 'test fold')}."
    return f"{who} n.d.: not distinguishable at the stated error rate. Dashed line: clinical variables alone."
