"""Kaplan-Meier curves of the risk groups, with numbers at risk, one figure a model."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pathgptomic.files import atomic
from pathgptomic.report import style
from pathgptomic.report.sources import read_table
from pathgptomic.report.wording import DAYS_PER_YEAR, count, interval, listed, missing, number, p_value

TICK_YEARS = (0.25, 0.5, 1, 2, 5, 10)  # steps of the time axis, the first that needs at most six of them
LEAST_AT_RISK = 0.05  # of the patients: the curves end where fewer are followed
RISK_WORDS = ("low", "intermediate", "high")
LEFT = 0.26  # of the figure's width, left of the axis
AT_RISK_ROW = 0.155  # inches
CHARACTER = 0.027  # of the axis' length, for one character of a curve's name
NAME_HEIGHT = 0.08  # of a curve's name, as a share of the patients


@dataclass(frozen=True)
class Line:
    """One risk group: its number, its name, its colour and its rows of survival_curves.tsv by time."""

    number: int
    label: str
    colour: str
    curve: pd.DataFrame

    def survival_at(self, days: np.ndarray) -> np.ndarray:
        """Return the share of the group that is alive at each of `days`."""
        rows = np.searchsorted(self.curve["time_days"].to_numpy(), days, side="right") - 1
        return self.curve["survival"].to_numpy()[rows]


@dataclass(frozen=True)
class Box:
    """Where a name stands: left and right as shares of the time axis, bottom as a share of the patients."""

    left: float
    right: float
    bottom: float


def plot_survival_curves(*, curves: str | Path, groups: str | Path, summary: str | Path, out: str | Path) -> None:
    """Draw one figure a model into the folder `out`, named by the model; models without curves have none.

    Parameters
    ----------
    curves, groups, summary
        survival_curves.tsv, risk_groups.tsv and summary.tsv of the evaluation.
    """
    all_curves, all_groups = read_table(curves), read_table(groups)
    with atomic(out) as folder:
        folder.mkdir()
        for model, title in read_table(summary)[["model", "title"]].to_numpy():
            rows = all_curves[all_curves["model"] == model]
            chosen = all_groups[(all_groups["model"] == model) & (all_groups["fold"] == "pooled")]
            if not rows.empty:
                _plot_model(rows, chosen.sort_values("group"), title, folder / f"{model}.svg")


def horizon(curves: pd.DataFrame) -> float:
    """Return the last day to draw: the last on which a twentieth of all patients are still followed."""
    days = np.sort(curves["time_days"].unique())
    followed = sum(at_risk(rows.sort_values("time_days"), days) for _, rows in curves.groupby("group"))
    enough = days[followed >= LEAST_AT_RISK * followed[0]]
    return float(enough[-1]) if enough[-1] > 0 else float(days[-1])


def at_risk(curve: pd.DataFrame, days: np.ndarray) -> np.ndarray:
    """Return how many of a group are still followed at each of `days`; `curve` holds the group's rows by time."""
    later = np.searchsorted(curve["time_days"].to_numpy(), days, side="left")
    return np.concatenate([curve["at_risk"].to_numpy(), [0]])[later].astype(int)


def year_ticks(last_day: float) -> np.ndarray:
    """Return the ticks of the time axis in years."""
    years = last_day / DAYS_PER_YEAR
    step = next((step for step in TICK_YEARS if years / step <= 6), 20)
    return np.arange(0, years + 1e-9, step)


def _plot_model(curves: pd.DataFrame, groups: pd.DataFrame, title: str, path: Path) -> None:
    lines = [
        Line(int(number), str(rows["label"].iloc[0]), colour, rows.sort_values("time_days"))
        for (number, rows), colour in zip(curves.groupby("group"), _colours(curves["group"].nunique()), strict=True)
    ]
    last = horizon(curves)
    height = 2.85 + AT_RISK_ROW * len(lines)
    with style.drawing():
        figure = Figure(figsize=(style.PANEL_WIDTH, height))
        below = 0.66 + AT_RISK_ROW * len(lines)
        axes = figure.add_axes((LEFT, below / height, 0.96 - LEFT, (height - below - 0.62) / height))
        for line in lines:
            _draw(axes, line, last)
        _dress(axes, last)
        _name_lines(axes, lines, last)
        _numbers_at_risk(axes, lines, last, height)
        style.headings(figure, title, _subtitle(groups, lines))
        style.save(figure, path, title=f"Survival by risk group: {title}", description=_words(groups, lines, last))


def _colours(groups: int) -> tuple[str, ...]:
    return style.GROUPS.get(groups, (style.BLUE, *[style.GREY] * (groups - 2), style.ORANGE))[:groups]


def _draw(axes: Axes, line: Line, last: float) -> None:
    curve = line.curve[line.curve["time_days"] <= last]
    curve = pd.concat([curve, curve.tail(1).assign(time_days=last, left=0)])  # to the edge of the plot
    years = curve["time_days"] / DAYS_PER_YEAR
    axes.fill_between(years, curve["ci_low"], curve["ci_high"], step="post", color=line.colour, alpha=0.13, linewidth=0)
    axes.step(years, curve["survival"], where="post", color=line.colour)
    left = curve[curve["left"] > 0]
    axes.plot(left["time_days"] / DAYS_PER_YEAR, left["survival"], "|", color=line.colour, markersize=4, mew=0.6)


def _dress(axes: Axes, last: float) -> None:
    axes.set(xlim=(0, last / DAYS_PER_YEAR), ylim=(0, 1.02), xticks=year_ticks(last), yticks=[0, 0.25, 0.5, 0.75, 1])
    axes.set_xticklabels([f"{tick:g}" for tick in year_ticks(last)])
    axes.set_yticklabels(["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.set_xlabel("Years of follow-up", labelpad=2)
    axes.set_ylabel("Patients alive", labelpad=3)
    style.rule_lines(axes)


def _name_lines(axes: Axes, lines: list[Line], last: float) -> None:
    """Write each group's name just above or below its curve, where it hides least of the curves and of other names."""
    taken: list[Box] = []
    for line in lines:
        name = f"{line.label} risk" if line.label in RISK_WORDS else line.label
        boxes = [
            Box(start, start + CHARACTER * len(name), bottom)
            for start in np.linspace(0.02, 0.98 - CHARACTER * len(name), 45)
            for bottom in _bottoms(line, start, start + CHARACTER * len(name), last)
        ]
        best = min(boxes, key=lambda box: _hidden(box, line, lines, taken, last))
        taken.append(best)
        axes.text(
            best.left * last / DAYS_PER_YEAR,
            best.bottom + NAME_HEIGHT / 2,
            name,
            color=line.colour,
            fontweight="bold",
            fontsize=8,
            va="center",
            bbox={"facecolor": style.PAPER, "edgecolor": "none", "alpha": 0.6, "pad": 0.2},
        )


def _bottoms(line: Line, left: float, right: float, last: float) -> tuple[float, float]:
    """Return where a name would stand above and below the line."""
    above, below = line.survival_at(np.array([left, right]) * last)
    return above + 0.02, below - 0.02 - NAME_HEIGHT


def _hidden(box: Box, line: Line, lines: list[Line], taken: list[Box], last: float) -> float:
    """Return how much a name at `box` would hide, and how far from its line it would stand."""
    if box.bottom < 0 or box.bottom + NAME_HEIGHT > 1.02:
        return np.inf
    days = np.linspace(box.left, box.right, 12) * last
    curves = {each.number: each.survival_at(days) for each in lines}
    hidden = sum(
        np.mean((box.bottom - 0.01 < curve) & (curve < box.bottom + NAME_HEIGHT + 0.01)) for curve in curves.values()
    )
    names = sum(
        box.left < other.right + 0.02
        and other.left < box.right + 0.02
        and abs(box.bottom - other.bottom) < NAME_HEIGHT + 0.01
        for other in taken
    )
    away = np.mean(np.abs(curves[line.number] - box.bottom - NAME_HEIGHT / 2))
    closer = sum(np.mean(np.abs(curve - box.bottom - NAME_HEIGHT / 2)) < away for curve in curves.values())
    return 2 * hidden + 10 * names + away + closer


def _numbers_at_risk(axes: Axes, lines: list[Line], last: float, height: float) -> None:
    place = axes.get_position()
    top = place.y0 - 0.52 / height
    text = {"fontsize": 7.5, "va": "center"}
    axes.figure.text(0.02, top, "Still followed", color=style.MUTED, **text)
    for row, line in enumerate(lines, start=1):
        y = top - AT_RISK_ROW * row / height
        axes.figure.text(0.02, y, line.label, color=line.colour, **text)
        ticks = year_ticks(last)
        for tick, amount in zip(ticks, at_risk(line.curve, ticks * DAYS_PER_YEAR), strict=True):
            x = place.x0 + place.width * tick * DAYS_PER_YEAR / last
            axes.figure.text(x, y, str(amount), color=line.colour, ha="center", **text)


def _subtitle(groups: pd.DataFrame, lines: list[Line]) -> str:
    patients = sum(int(line.curve["at_risk"].iloc[0]) for line in lines)
    parts = [count(patients, "patient"), count(sum(int(line.curve["deaths"].sum()) for line in lines), "death")]
    if len(groups) and not missing(groups["logrank_p"].iloc[0]):
        parts.append(f"log-rank {p_value(groups['logrank_p'].iloc[0])}")
    return ", ".join(parts) + _ratio_words(groups)


def _ratio_words(groups: pd.DataFrame) -> str:
    if groups.empty or missing(groups["hazard_ratio"].iloc[-1]):
        return ""
    last = groups.iloc[-1]
    low, high = interval(last["ci_low"], last["ci_high"], 1), number(last["hazard_ratio"], 1)
    return f"\nhazard ratio, {last['label']} against {groups['label'].iloc[0]}: {high} (95 % CI {low})"


def _words(groups: pd.DataFrame, lines: list[Line], last: float) -> str:
    """Say what the curves show: who is alive at the middle of the drawn follow-up."""
    day = last / 2
    parts = [f"{line.label} risk {100 * line.survival_at(np.array([day]))[0]:.0f} %" for line in lines]
    subtitle = _subtitle(groups, lines).replace("\n", "; ")
    return f"Kaplan-Meier curves. Alive after {day / DAYS_PER_YEAR:.1f} years: {listed(parts)}. {subtitle}."
