"""What balanced training did, epoch by epoch: the C-index of each branch alone, rho, the factor on its step."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from pathgptomic.files import atomic
from pathgptomic.report import style
from pathgptomic.report.balance_view import LEARNT, UNSEEN, WHOLE
from pathgptomic.report.sources import read_table
from pathgptomic.report.wording import count, listed, number

ENOUGH = 0.5  # of the fits must still be training for an epoch to be drawn
LOWEST_C = 0.35  # the first epochs may fall below it, out of the picture
DASHED = (0, (3, 1.5))
LINE = 0.105  # of the panel's height: least distance of two names at its right edge


@dataclass(frozen=True)
class Panel:
    """One panel of the figure: the words beside it, its height in inches and what it draws with which line."""

    label: str
    height: float
    quantities: dict


PANELS = {
    "c": Panel("C-index of\neach branch alone", 1.9, {LEARNT: "-", UNSEEN: DASHED}),
    "rho": Panel("ρ, lead over the\nother branches", 0.8, {"rho": "-"}),
    "coefficient": Panel("factor on the\nbranch's step", 0.8, {"coefficient": "-"}),
}


def plot_balance(*, balance: str | Path, summary: str | Path, out: str | Path) -> None:
    """Draw one figure a trained model with several branches into the folder `out`, all on the same scales.

    Parameters
    ----------
    balance, summary
        balance.tsv and summary.tsv of the evaluation.
    """
    table, titles = read_table(balance), dict(read_table(summary)[["model", "title"]].to_numpy())
    drawn = {model: _enough(table[table["model"] == model]) for model in titles}
    drawn = {model: rows for model, rows in drawn.items() if (rows["quantity"] == "rho").any()}
    limits = _limits(pd.concat(drawn.values())) if drawn else {}
    with atomic(out) as folder:
        folder.mkdir()
        for model, rows in drawn.items():
            _plot_model(rows, titles[model], limits, folder / f"{model}.svg")


def _enough(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the epochs in which most folds and seeds were still training."""
    most = rows.groupby(["quantity", "branch"])["n"].transform("max")
    return rows[rows["n"] >= ENOUGH * most]


def _limits(rows: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Return the limits of each panel's axis, the same for all models, so that figures can be compared."""
    c = rows[rows["quantity"].isin([LEARNT, UNSEEN])]
    c = c if len(c) else pd.DataFrame({"low": [0.5], "high": [1.0]})
    rho = rows[rows["quantity"] == "rho"][["low", "high"]].to_numpy(float)
    doublings = np.log2(np.clip(np.abs(rho), 2.0**-4, 2.0**4))
    reach = max(1.0, float(np.abs(doublings).max())) + 0.15
    return {
        "epoch": (0.0, float(rows["epoch"].max())),
        "c": (max(LOWEST_C, np.floor(c["low"].min() * 20) / 20), np.ceil(c["high"].max() * 20) / 20 + 0.01),
        "rho": (2.0**-reach, 2.0**reach),
        "coefficient": (-0.06, 1.1),
    }


def _plot_model(rows: pd.DataFrame, title: str, limits: dict, path: Path) -> None:
    present = set(rows["quantity"])
    panels = {name: panel for name, panel in PANELS.items() if present & set(panel.quantities)}
    heights = [panel.height for panel in panels.values()]
    height = 1.1 + sum(heights) + 0.14 * (len(heights) - 1)
    with style.drawing():
        figure = Figure(figsize=(style.PANEL_WIDTH, height))
        top = height - 0.68
        for name, panel in panels.items():
            axes = figure.add_axes((0.245, (top - panel.height) / height, 0.5, panel.height / height))
            _dress(axes, name, panel.label, limits)
            for quantity, line in panel.quantities.items():
                _draw(axes, rows[rows["quantity"] == quantity], line)
            _name_branches(axes, rows[rows["quantity"].isin(panel.quantities)], only=name == "c")
            top -= panel.height + 0.14
        figure.axes[-1].tick_params(labelbottom=True)
        figure.axes[-1].set_xlabel("Epoch", labelpad=2)
        style.headings(figure, title, _subtitle(rows))
        style.save(figure, path, title=f"Balance in training: {title}", description=_words(rows))


def _dress(axes: Axes, name: str, label: str, limits: dict) -> None:
    if name == "rho":
        axes.set_yscale("log", base=2)
        powers = (-4, -2, 0, 2, 4) if limits["rho"][1] > 5 else (-2, -1, 0, 1, 2)
        axes.yaxis.set_major_locator(FixedLocator([2.0**power for power in powers]))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(
            FuncFormatter(lambda value, _: f"{value:g}" if value >= 1 else f"1/{1 / value:g}")
        )
        axes.yaxis.set_minor_formatter(NullFormatter())
    elif name == "coefficient":
        axes.set_yticks([0, 0.5, 1])
    axes.set(xlim=limits["epoch"], ylim=limits[name])
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.tick_params(labelbottom=False)
    axes.set_ylabel(label, fontsize=7.5)
    axes.yaxis.set_label_coords(-0.3, 0.5)
    style.rule_lines(axes)


def _draw(axes: Axes, rows: pd.DataFrame, line: object) -> None:
    for branch, curve in rows.groupby("branch"):
        colour = style.INK if branch == WHOLE else style.branch_colour(branch)
        if line != DASHED:  # the ranges of all lines on top of each other hide them
            axes.fill_between(curve["epoch"], curve["low"], curve["high"], color=colour, alpha=0.12, linewidth=0)
        axes.plot(curve["epoch"], curve["mean"], color=colour, linestyle=line, linewidth=1.3)


def _name_branches(axes: Axes, rows: pd.DataFrame, *, only: bool) -> None:
    """Write the branches' names at the right edge, beside the ends of their (solid) curves, apart from each other."""
    if not only:
        return
    ends = rows.sort_values(["quantity", "epoch"]).groupby("branch").last()["mean"].sort_values()
    low, high = axes.get_ylim()
    heights = apart([(end - low) / (high - low) for end in ends], LINE)
    for branch, height in zip(ends.index, heights, strict=True):
        colour = style.INK if branch == WHOLE else style.branch_colour(branch)
        text = {"transform": axes.transAxes, "color": colour, "fontsize": 8, "fontweight": "bold", "va": "center"}
        axes.text(1.03, height, branch or "all together", **text)


def apart(heights: list[float], gap: float) -> list[float]:
    """Return ascending `heights` moved as little as needed to be `gap` apart, within 0 and 1 where there is room."""
    moved = list(heights)
    for _ in range(100):
        for place in range(len(moved) - 1):
            overlap = gap - (moved[place + 1] - moved[place])
            if overlap > 0:
                moved[place] -= overlap / 2
                moved[place + 1] += overlap / 2
        moved = [min(max(height, 0.02), 0.98) for height in moved]
    return moved


def _subtitle(rows: pd.DataFrame) -> str:
    fits = count(rows["n"].max(), "fit")
    lines = "Solid: own training patients, with 10 to 90 % range."
    return f"{lines} Dashed: left out.\nMeans of {fits} (folds and seeds)."


def _words(rows: pd.DataFrame) -> str:
    """Say where each branch ended."""
    ends = rows.sort_values("epoch").groupby(["quantity", "branch"]).last()["mean"]
    parts = []
    for branch in sorted(set(rows["branch"]) - {WHOLE}):
        learnt, unseen = (ends.get((quantity, branch)) for quantity in (LEARNT, UNSEEN))
        parts.append(
            f"{branch} {number(learnt)} on its own training patients and {number(unseen)} on patients left out"
        )
    return f"C-index of each branch alone in the last epochs: {listed(parts)}."
