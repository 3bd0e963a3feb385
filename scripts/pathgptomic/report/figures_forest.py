"""The C-index of every model in one picture: mean, interval, single folds, and the gain over clinical variables."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pathgptomic.report import style
from pathgptomic.report.sources import read_table
from pathgptomic.report.wording import DASH, count, interval, missing, number, signed

FOOT = 54.0  # points below the rows


@dataclass(frozen=True)
class Layout:
    """Where the parts of a row stand, in points: (x, distance below the middle of the row); `plot` is (left, right)."""

    width: float
    row: float
    head: float
    name: tuple[float, float]
    plot: tuple[float, float]
    c: tuple[float, float]
    gain: tuple[float, float]
    gain_align: str
    characters: int


WIDE = Layout(680, 17, 36, (6, 0), (236, 446), (462, 0), (582, 0), "left", 50)
NARROW = Layout(300, 31, 46, (4, -9), (12, 174), (184, 5), (296, -9), "right", 46)


def plot_forest(
    *, summary: str | Path, metrics: str | Path, headline: str, clinical: str, out: str | Path, narrow: str | Path
) -> None:
    """Draw the forest plot of all models, once for pages and once for telephones.

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
    out, narrow
        The SVG files to write.
    """
    table, metrics = read_table(summary), read_table(metrics)
    folds = metrics[(metrics["metric"] == "harrell_c") & (metrics["seed"] == "mean") & (metrics["subset"] == "")]
    folds = folds[folds["fold"] != "pooled"].groupby("model")["value"].apply(list)
    colours = {clinical: style.ORANGE, headline: style.BLUE}
    with style.drawing():
        for path, layout in ((out, WIDE), (narrow, NARROW)):
            figure = _draw(table, folds, colours, clinical, layout)
            style.save(figure, path, title="C-index of all models", description=forest_words(table))


def _draw(table: pd.DataFrame, folds: pd.Series, colours: dict, clinical: str, layout: Layout) -> Figure:
    rows = forest_rows(table)
    body = layout.row * len(rows)
    height = layout.head + body + FOOT
    figure = Figure(figsize=(layout.width / 72, height / 72))
    page = figure.add_axes((0, 0, 1, 1))
    page.set(xlim=(0, layout.width), ylim=(height, 0))
    page.axis("off")
    page.set_zorder(2)  # names stand above the lines that would cross them
    left, right = layout.plot
    axes = figure.add_axes((left / layout.width, FOOT / height, (right - left) / layout.width, body / height))
    _dress(axes, table, folds, len(rows), clinical)
    _head(page, layout)
    for place, row in enumerate(rows):
        y = layout.head + layout.row * (place + 0.5)
        if isinstance(row, str):
            page.text(layout.name[0], y + 3, row, va="center", color=style.MUTED, fontsize=8)
        else:
            _write_row(page, row, y, colours, layout)
            _draw_row(axes, row, place + layout.c[1] / layout.row, folds.get(row["model"], []), colours)
    for line, text in enumerate(reversed(_foot(table))):
        page.text(layout.name[0], height - 6 - 10 * line, text, fontsize=7, color=style.MUTED, va="center")
    return figure


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
    axes.set_xlabel("C-index on test patients", fontsize=7.5, labelpad=3)
    if axes.get_xlim()[0] < 0.5:
        axes.axvline(0.5, color=style.MUTED, linewidth=0.8, linestyle=(0, (1, 2)))
    reference = summary.loc[summary["model"] == clinical, "c_mean"]
    if len(reference):
        axes.axvline(reference.iloc[0], color=style.ORANGE, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)


def _head(page: Axes, layout: Layout) -> None:
    title = {"fontweight": "bold", "fontsize": 8, "va": "center"}
    small = {"color": style.MUTED, "fontsize": 7.5, "va": "center"}
    top = layout.head - 25
    page.text(layout.plot[0], top, "Mean and interval", **title)
    page.text(layout.plot[0], top + 11, "light dots: single folds", **small)
    page.text(layout.c[0], top, "C-index", **title)
    page.text(layout.c[0], top + 11, "95 % interval", **small)
    if layout is WIDE:
        page.text(layout.name[0], top, "Model", **title)
        page.text(layout.gain[0], top, "Gain over", **title)
        page.text(layout.gain[0], top + 11, "clinical alone", **small)
    else:
        page.text(layout.gain[0], 8, "Right: gain over clinical alone", ha=layout.gain_align, **small)


def _write_row(page: Axes, row: dict, y: float, colours: dict, layout: Layout) -> None:
    strong = row["model"] in colours
    weight = "bold" if strong else "normal"
    title = str(row["title"])
    title = title if len(title) <= layout.characters else title[: layout.characters - 1] + "…"
    page.text(
        layout.name[0],
        y + layout.name[1],
        title,
        va="center",
        fontweight=weight,
        color=colours.get(row["model"], style.INK),
        bbox={"facecolor": style.PAPER, "edgecolor": "none", "pad": 0.8},
    )
    x, below = layout.c
    small = {"va": "center", "fontsize": 8}
    page.text(x, y + below, number(row["c_mean"]), fontweight=weight, **small)
    page.text(x + 28, y + below, interval(row["c_ci_low"], row["c_ci_high"]), color=style.MUTED, **small)
    page.text(layout.gain[0], y + layout.gain[1], _gain(row), ha=layout.gain_align, **small)


def _draw_row(axes: Axes, row: dict, y: float, folds: list, colours: dict) -> None:
    colour = colours.get(row["model"], style.MUTED)
    axes.plot(folds, [y] * len(folds), "o", color=colour, alpha=0.22, markersize=3.2, markeredgewidth=0, zorder=2)
    if not missing(row["c_ci_low"]):
        axes.plot([row["c_ci_low"], row["c_ci_high"]], [y, y], color=colour, linewidth=1.4, zorder=3)
    strong = row["model"] in colours
    marker = {"marker": "D" if strong else "s", "markersize": 5.5 if strong else 4.5}
    axes.plot(row["c_mean"], y, color=colour, markeredgewidth=0, zorder=4, **marker)


def _gain(row: dict) -> str:
    delta, verdict = row.get("delta_clinical"), row.get("delta_clinical_verdict")
    if missing(delta):
        return DASH
    return f"{signed(delta)}  {'n.d.' if verdict == 'not distinguishable' else verdict}"


def _foot(summary: pd.DataFrame) -> list[str]:
    first = summary.iloc[0]
    counts = [count(first["patients"], "patient"), count(first["events"], "death"), count(first["folds"], "test fold")]
    return [
        f"{', '.join(counts)}. Dashed line: clinical variables alone.",
        "n.d.: cannot be distinguished from no difference.",
    ]
