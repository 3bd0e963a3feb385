"""The patient flow: who entered, who left and why, who was in the test folds (CONSORT-like diagram)."""

import textwrap
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from pathgptomic.cohort.tables import read_flow, read_splits
from pathgptomic.report import style
from pathgptomic.report.wording import count, listed

WIDTH = 520.0  # points; everything below is in points too
MAIN = (10.0, 235.0)  # left edge and width of the boxes of those who stay
SIDE = (285.0, 225.0)  # left edge and width of the boxes of those who leave
LINE = 12.0
PADDING = 9.0
GAP = 22.0
CHARACTERS = 46  # that fit into a box


def plot_flow(*, flow: str | Path, splits: str | Path, out: str | Path) -> None:
    """Draw the patient flow.

    Parameters
    ----------
    flow, splits
        flow.tsv and splits.tsv of the cohort.
    out
        The SVG file to write.
    """
    rows, roles = flow_rows(read_flow(flow)), read_splits(splits)
    with style.drawing():
        figure = _draw(rows, split_words(roles))
        style.save(figure, out, title="Patient flow", description=flow_words(rows, roles))


def flow_rows(flow: pd.DataFrame) -> list[dict]:
    """Return the rows worth a box: the first, and every step that excluded somebody."""
    rows = flow.to_dict("records")
    for row in rows:
        row["reason"] = "" if pd.isna(row["reason"]) else str(row["reason"])
        row["step"] = str(row["step"])
    return [row for place, row in enumerate(rows) if place == 0 or row["dropped"] > 0]


def split_words(splits: pd.DataFrame) -> str:
    """Say how the patients were split, from the split itself."""
    test = splits[splits["role"] == "test"]
    train = splits[splits["role"] == "train"]
    sizes = test.groupby("fold").size()
    if sizes.empty:
        return "No test folds"
    times = test.groupby("patient_id").size()
    kind = "each patient tested at most once" if times.max() == 1 else "test parts overlap"
    if times.max() == 1 and len(times) == splits["patient_id"].nunique() and len(sizes) > 1:
        kind = "each patient tested once"
    folds = "1 test part" if len(sizes) == 1 else f"{len(sizes)} test folds"
    fitted = _range(train.groupby("fold").size())
    return f"{folds} of {_range(sizes)} patients ({kind}), models fitted on the other {fitted}"


def flow_words(rows: list[dict], splits: pd.DataFrame) -> str:
    """Say in words what the diagram shows, for those who cannot see it."""
    parts = [f"{rows[0]['step']}: {count(rows[0]['remaining'], 'patient')}"]
    for row in rows[1:]:
        left = f" after {row['dropped']} were excluded ({row['reason'] or row['step']})" if row["dropped"] else ""
        parts.append(f"{row['step']}: {count(row['remaining'], 'patient')}{left}")
    return f"{listed(parts, last='; ', other='; ')}. {split_words(splits)}."


def _range(sizes: pd.Series) -> str:
    if sizes.empty:
        return "0"
    low, high = int(sizes.min()), int(sizes.max())
    return str(low) if low == high else f"{low} to {high}"


def _draw(rows: list[dict], split: str) -> Figure:
    boxes = [_stay_lines(row) for row in rows]
    leavers = [_leave_lines(row) if place and row["dropped"] > 0 else [] for place, row in enumerate(rows)]
    final = textwrap.wrap(split, CHARACTERS)
    gaps = [0.0, *(max(GAP, _height(lines) + 12.0 if lines else GAP) for lines in leavers[1:])]
    height = sum(gaps) + sum(_height(lines) for lines in boxes) + GAP + _height(final) + 8.0
    figure = Figure(figsize=(WIDTH / 72, height / 72))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(-height, 0))
    axes.axis("off")
    middle = MAIN[0] + MAIN[1] / 2
    bottom = -4.0
    for place, lines in enumerate(boxes):
        top = bottom - gaps[place]
        if place:
            _arrow(axes, (middle, bottom), (middle, top))
        if leavers[place]:
            side = (bottom + top) / 2
            _arrow(axes, (middle, side), (SIDE[0], side))
            _box(axes, SIDE, side + _height(leavers[place]) / 2, leavers[place], face=style.PAPER)
        bottom = _box(axes, MAIN, top, lines, face=style.PANEL)
    _arrow(axes, (middle, bottom), (middle, bottom - GAP))
    _box(axes, MAIN, bottom - GAP, final, face=style.PAPER, edge=style.BLUE, bold_first=False)
    return figure


def _stay_lines(row: dict) -> list[str]:
    numbers = count(row["remaining"], "patient")
    if not pd.isna(row["events"]):
        numbers += f", {count(row['events'], 'death')}"
    return [numbers, *textwrap.wrap(row["step"], CHARACTERS)]


def _leave_lines(row: dict) -> list[str]:
    return [f"{row['dropped']:,} excluded", *textwrap.wrap(row["reason"] or row["step"], CHARACTERS)]


def _height(lines: list[str]) -> float:
    return 2 * PADDING + LINE * len(lines) - 3.0


def _box(axes, place, top, lines, *, face, edge=style.GREY, bold_first=True) -> float:
    """Draw one box from its top edge and return its bottom edge."""
    left, width = place
    height = _height(lines)
    box = FancyBboxPatch((left, top - height), width, height, boxstyle="round,pad=0,rounding_size=3")
    box.set(facecolor=face, edgecolor=edge, linewidth=0.8)
    axes.add_patch(box)
    for number, line in enumerate(lines):
        weight = "bold" if bold_first and number == 0 else "normal"
        axes.text(left + 10, top - PADDING - LINE * number - 4.5, line, va="center", fontweight=weight, fontsize=8.5)
    return top - height


def _arrow(axes, start, end) -> None:
    arrow = FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=8, shrinkA=0, shrinkB=0)
    arrow.set(color=style.MUTED, linewidth=0.9)
    axes.add_patch(arrow)
