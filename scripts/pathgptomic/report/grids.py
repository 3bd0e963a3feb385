"""Tables of the report as plain data: what stands in a cell, by what it is sorted, how it is marked."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pathgptomic.report.wording import DASH, interval, missing, number, p_number, signed

VERDICTS = {"better": "better", "worse": "worse", "not distinguishable": "same"}


@dataclass(frozen=True)
class Column:
    """A column: its title, whether it holds numbers (set right), and what its title means."""

    title: str
    numeric: bool = True
    help: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell: its text, the value that it is sorted by, a mark (chip) and a small note behind the text."""

    text: str
    order: float | None = None
    tone: str = ""
    note: str = ""


@dataclass(frozen=True)
class Row:
    """A row; `tone` marks the row that the report is about."""

    cells: Sequence[Cell]
    tone: str = ""


@dataclass(frozen=True)
class Grid:
    """A table with its caption; `stacked` puts small notes under the numbers, which keeps wide tables narrow."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Row] = field(default_factory=list)
    note: str = ""
    sortable: bool = False
    stacked: bool = False


def words(text: object) -> Cell:
    """Return a cell of words."""
    return Cell(DASH if missing(text) else str(text))


def value(amount: float | None, digits: int = 3, note: str = "") -> Cell:
    """Return a cell with a number."""
    return Cell(number(amount, digits), None if missing(amount) else float(amount), note=note)


def whole(amount: float | None) -> Cell:
    """Return a cell with a whole number."""
    return Cell(DASH if missing(amount) else f"{int(amount):,}", None if missing(amount) else float(amount))


def difference(amount: float | None, low: float | None = None, high: float | None = None) -> Cell:
    """Return a cell with a difference and its interval."""
    note = "" if missing(low) else f"({interval(low, high, sign=True)})"
    return Cell(signed(amount), None if missing(amount) else float(amount), note=note)


def probability(p: float | None) -> Cell:
    """Return a cell with a p-value."""
    return Cell(p_number(p), None if missing(p) else float(p))


def judgement(verdict: object, p_adjusted: float | None = None) -> Cell:
    """Return a cell with the verdict of a comparison as a mark, and its adjusted p beside it."""
    if missing(verdict):
        return Cell(DASH)
    note = "" if missing(p_adjusted) else f"({p_number(p_adjusted)})"
    order = None if missing(p_adjusted) else float(p_adjusted)
    return Cell(str(verdict), order, tone=VERDICTS.get(str(verdict), "same"), note=note)


def facts_grid(
    caption: str, facts: Iterable[tuple[str, object]], *, titles: tuple[str, str] = ("Fact", "Value")
) -> Grid:
    """Return a table of names and values."""
    columns = [Column(title, numeric=False) for title in titles]
    return Grid(caption, columns, [Row([words(name), words(text)]) for name, text in facts])
