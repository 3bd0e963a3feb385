"""How far each model's C-index falls from the patients that it was fitted on to patients that it has not seen."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pathgptomic.report import style
from pathgptomic.report.sources import read_table
from pathgptomic.report.wording import listed, number

WIDTH = 560.0  # points
ROW = 22.0
HEAD = 40.0
FOOT = 34.0
PLOT = (212.0, 466.0)
MOST = 14  # models in the figure
POINTS = {  # metric -> (words, filling)
    "harrell_c_train": ("fitted on", True),
    "harrell_c_inner": ("left out of fitting", None),
    "harrell_c": ("test", False),
}


def plot_gap(*, metrics: str | Path, catalogue: Mapping[str, Mapping], out: str | Path) -> None:
    """Draw each model's C-index on fitted, left-out and test patients on one line.

    Parameters
    ----------
    metrics
        metrics.tsv of the evaluation.
    catalogue
        What the models are, see `catalogue.py`.
    out
        The SVG file to write.
    """
    values = gap_values(read_table(metrics), gap_models(catalogue))
    titles = {model: str(catalogue[model]["title"]) for model in values.index}
    colours = {next(iter(catalogue)): style.BLUE}
    height = HEAD + ROW * len(values) + FOOT
    with style.drawing():
        figure = Figure(figsize=(WIDTH / 72, height / 72))
        page = figure.add_axes((0, 0, 1, 1))
        page.set(xlim=(0, WIDTH), ylim=(height, 0))
        page.axis("off")
        axes = figure.add_axes(
            (PLOT[0] / WIDTH, FOOT / height, (PLOT[1] - PLOT[0]) / WIDTH, ROW * len(values) / height)
        )
        _dress(axes, values)
        _head(page)
        for place, (model, row) in enumerate(values.iterrows()):
            colour = colours.get(model, style.MUTED)
            _draw(axes, row, place, colour)
            y = HEAD + ROW * (place + 0.5)
            weight = "bold" if model in colours else "normal"
            page.text(
                6, y, titles[model], va="center", color=colour if model in colours else style.INK, fontweight=weight
            )
            page.text(
                PLOT[1] + 18, y, number(row["harrell_c_train"] - row["harrell_c"]), va="center", fontweight=weight
            )
        style.save(figure, out, title="C-index on seen and unseen patients", description=gap_words(values, titles))


def gap_models(catalogue: Mapping[str, Mapping]) -> list[str]:
    """Return the models to draw: those that are balanced, each beside its unbalanced twin, then those of one branch.

    Where nothing is balanced: every network of several branches; where there is no network, the first model.
    """
    pairs = [name for model, facts in catalogue.items() if facts["unbalanced"] for name in (model, facts["unbalanced"])]
    fused = pairs or [model for model, facts in catalogue.items() if len(facts["branches"]) > 1 and facts["strategy"]]
    single = [model for model, facts in catalogue.items() if facts["kind"] == "model" and len(facts["branches"]) == 1]
    return list(dict.fromkeys([*fused, *single]))[:MOST] or list(catalogue)[:1]


def gap_values(metrics: pd.DataFrame, models: list[str]) -> pd.DataFrame:
    """Return the means over the folds: models x (fitted on, left out, test)."""
    chosen = metrics[
        metrics["metric"].isin(POINTS)
        & (metrics["fold"] != "pooled")
        & (metrics["seed"] == "mean")
        & (metrics["subset"] == "")
    ]
    means = chosen.groupby(["model", "metric"])["value"].mean().unstack()
    return means.reindex(index=models, columns=list(POINTS)).dropna(subset="harrell_c")


def gap_words(values: pd.DataFrame, titles: dict[str, str]) -> str:
    """Say in words what the figure shows."""
    parts = [
        f"{titles[model]}: {number(row['harrell_c_train'])} on the patients it was fitted on, "
        f"{number(row['harrell_c'])} on test patients"
        for model, row in values.iterrows()
    ]
    return f"Mean C-index. {listed(parts, other='; ', last='; ')}."


def _dress(axes: Axes, values: pd.DataFrame) -> None:
    low, high = values.min(axis=None), values.max(axis=None)
    axes.set(xlim=(low - 0.03, min(1.005, high + 0.03)), ylim=(len(values) - 0.5, -0.5), yticks=[])
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(style.few_ticks())
    axes.set_xlabel("C-index, mean over the folds", fontsize=7.5, labelpad=3)
    style.rule_lines(axes, "x")


def _head(page: Axes) -> None:
    page.text(6, 10, "Model", fontweight="bold", fontsize=8, va="center")
    page.text(PLOT[1] + 18, 10, "Gap", fontweight="bold", fontsize=8, va="center")
    page.text(PLOT[1] + 18, 21, "fitted on − test", color=style.MUTED, fontsize=7.5, va="center")
    x = PLOT[0]
    for words, filled in POINTS.values():
        _mark(page, x + 4, 10, style.MUTED, filled)
        page.text(x + 12, 10, words, fontsize=8, va="center")
        x += 24 + 4.6 * len(words)
    page.text(
        PLOT[0], 21, "the closer together, the less was learnt by heart", color=style.MUTED, fontsize=7.5, va="center"
    )


def _draw(axes: Axes, row: pd.Series, place: int, colour: str) -> None:
    axes.plot([row.min(), row.max()], [place, place], color=colour, linewidth=1.2, alpha=0.5, zorder=1)
    for metric, (_, filled) in POINTS.items():
        _mark(axes, row[metric], place, colour, filled)


def _mark(axes: Axes, x: float, y: float, colour: str, filled: bool | None) -> None:
    """Draw a full, a small full (None) or an open circle."""
    face = style.PAPER if filled is False else colour
    size = 3.4 if filled is None else 6.2
    axes.plot(x, y, "o", color=colour, markerfacecolor=face, markersize=size, markeredgewidth=1.4, zorder=3)
