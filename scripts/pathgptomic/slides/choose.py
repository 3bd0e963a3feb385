"""Which slides are read, in which batch, and what is known about them from tables."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pandas as pd

TCGA_SLIDE = re.compile(r"^TCGA-\w{2}-\w{4}-\d{2}\w-\d{2}-(?P<kind>[A-Z]{2})\w")
DIAGNOSTIC = "DX"


def batch_of(slide_id: str, batches: int) -> int:
    """Return the batch of a slide, from 0: by its name alone, so that another slide never moves it."""
    return int.from_bytes(hashlib.blake2b(slide_id.encode(), digest_size=8).digest(), "little") % batches


def left_out(slide_id: str, select: str) -> str:
    """Return why a slide is not read, or "".

    Parameters
    ----------
    slide_id
        Its name; the last part of a TCGA barcode says what was cut: DX for a diagnostic slide (paraffin), TS, MS and BS
        for frozen sections.
    select
        ``diagnostic`` or ``all``. Names that are no TCGA barcodes are always read.
    """
    found = TCGA_SLIDE.match(slide_id)
    if select == "diagnostic" and found and found["kind"] != DIAGNOSTIC:
        return f"a frozen section ({found['kind']}), not a diagnostic slide"
    return ""


def read_overrides(path: str | Path | None) -> dict[str, float]:
    """Read microns per pixel of level 0 by slide from a table with columns slide_id and mpp.

    Raises
    ------
    ValueError
        If a column is missing or a value is no positive number.
    """
    if path is None:
        return {}
    table = pd.read_csv(path, sep="," if str(path).endswith(".csv") else "\t", dtype={"slide_id": str})
    if not {"slide_id", "mpp"} <= set(table.columns):
        raise ValueError(f"{path} has the columns {', '.join(table.columns)}; it needs slide_id and mpp")
    values = pd.to_numeric(table["mpp"], errors="coerce")
    wrong = ~(values > 0)
    if wrong.any():
        row = table[wrong].iloc[0]
        raise ValueError(f"{path} gives slide {row['slide_id']} the mpp {row['mpp']!r}; it must be a positive number")
    return dict(zip(table["slide_id"], values.astype(float), strict=True))
