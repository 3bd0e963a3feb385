"""The plain text that a terminal prints: one table a cohort."""

from pathlib import Path

import pandas as pd

from pathgptomic.report.sources import read_table
from pathgptomic.report.wording import count, interval, missing, number, p_number, signed

HEADS = (
    "model",
    "n",
    "deaths",
    "C",
    "SD",
    "95 % CI",
    "Uno C",
    "IBS",
    "vs clinical (adj. p)",
    "vs late fusion (adj. p)",
)
SHORT = {"not distinguishable": "n.d."}


def summary_text(summary: str | Path, *, title: str = "", level: str = "95 %") -> str:
    """Return `summary.tsv` as a table for the terminal.

    Parameters
    ----------
    summary
        The table.
    title
        Name of the cohort, printed above.
    level
        What the intervals cover.

    Returns
    -------
    str
        One line a model: patients, deaths, mean C-index over the folds, its SD and interval, Uno's C, integrated Brier
        score, difference to clinical variables alone and to late fusion with adjusted p and verdict.
    """
    table = read_table(summary)
    heads = [head.replace("95 %", level) for head in HEADS]
    lines = [heads, *(_line(row) for row in table.to_dict("records"))]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    text = [_aligned(line, widths) for line in lines]
    text.insert(1, "  ".join("-" * width for width in widths))
    first = table.iloc[0]
    folds = f"{count(first['folds'], 'fold')}, C: mean of Harrell's C-index over the folds, seeds averaged"
    head = f"{title}: {folds}" if title else folds
    return "\n".join([head, *text, _method(table)]) + "\n"


def _line(row: dict) -> list[str]:
    return [
        str(row["title"]),
        number(row["patients"], 0),
        number(row["events"], 0),
        number(row["c_mean"]),
        number(row["c_sd"]),
        interval(row["c_ci_low"], row["c_ci_high"]),
        number(row["uno_c"]),
        number(row["ibs"]),
        _difference(row, "clinical"),
        _difference(row, "late_fusion"),
    ]


def _difference(row: dict, key: str) -> str:
    """Return '+0.012 (0.30) n.d.', or a dash."""
    delta = row.get(f"delta_{key}")
    if missing(delta):
        return number(None)
    p = "" if missing(row[f"delta_{key}_p_adjusted"]) else f" ({p_number(row[f'delta_{key}_p_adjusted'])})"
    verdict = str(row[f"delta_{key}_verdict"])
    return f"{signed(delta)}{p} {SHORT.get(verdict, verdict)}"


def _aligned(line: list[str], widths: list[int]) -> str:
    words = {0, 8, 9}
    cells = [
        cell.ljust(width) if column in words else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def _method(table: pd.DataFrame) -> str:
    methods = sorted({str(method) for method in table.loc[table["c_ci_low"].notna(), "ci_method"]}) or ["none"]
    return (
        f"Interval: {'; '.join(methods)}. p: corrected resampled t-test, Holm-adjusted; primary comparisons (the first "
        "model, and it with clinical variables) among themselves, all others among themselves.\n"
        "n.d.: not distinguishable from no difference."
    )
