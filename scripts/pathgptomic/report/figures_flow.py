"""The patient flow: who entered, who left and why, who was in the test folds (CONSORT-like diagram)."""

import textwrap
from dataclasses import dataclass
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
    steps, roles = flow_steps(read_flow(flow)), read_splits(splits)
    with style.drawing():
        figure = _draw(steps, split_words(roles))
        style.save(figure, out, title="Patient flow", description=flow_words(steps, roles))


@dataclass(frozen=True)
class Step:
    """Patients that remain after a step, and how many each reason excluded in it."""

    name: str
    remaining: int
    events: int
    excluded: dict[str, int]


def flow_steps(flow: pd.DataFrame) -> list[Step]:
    """Return the first row, and every step that excluded somebody with the reasons that did."""
    first = flow.iloc[0]
    steps = [Step(str(first["step"]), int(first["remaining"]), int(first["events"]), {})]
    left = flow.iloc[1:]
    left = left[left["dropped"] > 0]
    for _, rows in left.groupby((left["step"] != left["step"].shift()).cumsum()):
        last = rows.iloc[-1]
        reasons = {str(row.reason) or str(row.step): int(row.dropped) for row in rows.itertuples()}
        steps.append(Step(str(last["step"]), int(last["remaining"]), int(last["events"]), reasons))
    return steps


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


def flow_words(steps: list[Step], splits: pd.DataFrame) -> str:
    """Say in words what the diagram shows, for those who cannot see it."""
    parts = [f"{steps[0].name}: {count(steps[0].remaining, 'patient')}"]
    for step in steps[1:]:
        reasons = listed([f"{amount} with {reason}" for reason, amount in step.excluded.items()])
        parts.append(f"{step.name}: {reasons} were excluded, {count(step.remaining, 'patient')} remain")
    return f"{'; '.join(parts)}. {split_words(splits)}."


def _range(sizes: pd.Series) -> str:
    if sizes.empty:
        return "0"
    low, high = int(sizes.min()), int(sizes.max())
    return str(low) if low == high else f"{low} to {high}"


def _draw(steps: list[Step], split: str) -> Figure:
    stay = [_stay_lines(step, last=place == len(steps) - 1) for place, step in enumerate(steps)]
    leave = [_leave_lines(step) if step.excluded else [] for step in steps]
    final = textwrap.wrap(split, CHARACTERS)
    gaps = [0.0, *(_height(lines) + 12.0 for lines in leave[1:])]
    height = sum(gaps) + sum(_height(lines) for lines in stay) + GAP + _height(final) + 8.0
    figure = Figure(figsize=(WIDTH / 72, height / 72))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(-height, 0))
    axes.axis("off")
    middle = MAIN[0] + MAIN[1] / 2
    bottom = -4.0
    for place, lines in enumerate(stay):
        top = bottom - gaps[place]
        if place:
            side = (bottom + top) / 2
            _arrow(axes, (middle, bottom), (middle, top))
            _arrow(axes, (middle, side), (SIDE[0], side))
            _box(axes, SIDE, side + _height(leave[place]) / 2, leave[place], face=style.PAPER)
        bottom = _box(axes, MAIN, top, lines, face=style.PANEL)
    _arrow(axes, (middle, bottom), (middle, bottom - GAP))
    _box(axes, MAIN, bottom - GAP, final, face=style.PAPER, edge=style.BLUE, bold_first=False)
    return figure


def _stay_lines(step: Step, *, last: bool) -> list[str]:
    numbers = f"{count(step.remaining, 'patient')}, {count(step.events, 'death')}"
    words = step.name if not step.excluded else "analysed" if last else ""
    return [numbers, *textwrap.wrap(words, CHARACTERS)]


def _leave_lines(step: Step) -> list[str]:
    lines = [f"{sum(step.excluded.values()):,} excluded: {step.name}"]
    for reason, amount in step.excluded.items():
        lines += textwrap.wrap(f"{amount:,} {reason}", CHARACTERS)
    return lines


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
