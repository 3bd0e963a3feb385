"""Numbers and lists as words: the same rounding and the same signs in every figure, table and sentence."""

import math
from collections.abc import Sequence

DASH = "–"
JOINED = "\u00a0"  # a space at which no line breaks
MINUS = "−"
DAYS_PER_MONTH = 365.25 / 12
DAYS_PER_YEAR = 365.25


def missing(value: object) -> bool:
    """Return whether a table's cell holds nothing."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with fixed decimals and a true minus sign, or a dash where there is none."""
    if missing(value):
        return DASH
    text = f"{float(value):.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def signed(value: float | None, digits: int = 3) -> str:
    """Return a difference with its sign."""
    text = number(value, digits)
    return text if text.startswith((MINUS, DASH)) or float(text) == 0 else f"+{text}"


def interval(low: float | None, high: float | None, digits: int = 3, *, sign: bool = False) -> str:
    """Return 'low to high', or a dash where there is no interval."""
    if missing(low) or missing(high):
        return DASH
    show = signed if sign else number
    return f"{show(low, digits)} to {show(high, digits)}"


def p_value(p: float | None) -> str:
    """Return 'p = 0.012', 'p < 0.001', or a dash; no line breaks within."""
    if missing(p):
        return DASH
    text = f"p {p_number(p)}" if p < 0.001 else f"p = {p_number(p)}"
    return text.replace(" ", JOINED)


def p_number(p: float | None) -> str:
    """Return a p-value for a table cell: two decimals above 0.1, three below, '< 0.001' for the smallest."""
    if missing(p):
        return DASH
    if p < 0.001:
        return "< 0.001"
    return f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def count(amount: float, noun: str) -> str:
    """Return '1 patient', '1,234 patients'."""
    plural = noun if amount == 1 else f"{noun}s"
    return f"{int(amount):,} {plural}"


def listed(parts: Sequence[str], *, last: str = " and ", other: str = ", ") -> str:
    """Return 'a, b and c'."""
    parts = list(parts)
    return other.join(parts[:-1]) + last + parts[-1] if len(parts) > 1 else "".join(parts)


def duration(seconds: float) -> str:
    """Return '45 s', '12 min', '3.4 h'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size(bytes_: float) -> str:
    """Return '120 kB', '3.4 MB', '1.2 GB'."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if bytes_ >= factor:
            return f"{bytes_ / factor:.3g} {unit}"
    return f"{bytes_:.0f} B"


def percent(share: float | None, digits: int = 0) -> str:
    """Return '83 %', or a dash."""
    return DASH if missing(share) else f"{number(100 * share, digits)}{JOINED}%"


def in_sentence(title: str) -> str:
    """Return a title as it stands inside a sentence: a plain first word loses its capital, a name keeps it."""
    first = title.split(" ")[0]
    return title[:1].lower() + title[1:] if first[1:].islower() or len(first) == 1 else title
