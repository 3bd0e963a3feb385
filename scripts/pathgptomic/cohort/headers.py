"""Column names of a table without reading it: enough for the checks that come before any job.

Standard library only, so that a dry run stays quick; parquet is the exception and asks pyarrow.
"""

import csv
import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
FORMATS = (*SEPARATORS, ".parquet", ".h5ad")


@dataclass(frozen=True)
class Header:
    """Names of the columns and the number of lines that they take; a column without a name is ``""``."""

    names: tuple[str, ...]
    lines: int


def file_format(path: str | Path) -> str:
    """Return the format of a table by its name: .csv, .tsv, .txt, .parquet or .h5ad.

    Raises
    ------
    ValueError
        If the name ends otherwise.
    """
    suffix = Path(str(path).removesuffix(".gz")).suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"{path} ends in {suffix!r}; a table is csv, tsv or txt (each also .gz), parquet or h5ad.")
    return suffix


def separator(path: str | Path, given: str | None) -> str:
    """Return the separator of a text table: as given, or by the name of the file."""
    return given or SEPARATORS[file_format(path)]


@contextmanager
def open_text(path: str | Path) -> Iterator[IO[str]]:
    """Open a text table, compressed or not, with or without a byte order mark."""
    opener = gzip.open if str(path).endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8-sig", newline="") as handle:
        yield handle


def text_header(path: str | Path, given_separator: str | None, comment: str | None) -> Header:
    """Read the header of a text table.

    A header that is one name short of the first row, as R writes it, gets an unnamed first column.
    """
    with open_text(path) as handle:
        lines = 0
        for line in handle:
            lines += 1
            if not (comment and line.startswith(comment)):
                break
        else:
            raise ValueError(f"{path} has no header: the file is empty.")
        names, first = (
            next(csv.reader([text], delimiter=separator(path, given_separator)), [])
            for text in (line, next(handle, ""))
        )
    names = [name.strip() for name in names]
    return Header(tuple([""] * (len(first) == len(names) + 1) + names), lines)


def column_names(path: str | Path, given_separator: str | None = None, comment: str | None = None) -> tuple[str, ...]:
    """Return the names of the columns of a csv, tsv, txt or parquet table.

    Raises
    ------
    ValueError
        If the file is empty, is no table, or names a column twice.
    """
    if file_format(path) == ".parquet":
        names = parquet_names(path)
    else:
        names = text_header(path, given_separator, comment).names
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise ValueError(f"{path} has the column {twice!r} twice; rename one of them.")
    return names


def parquet_names(path: str | Path) -> tuple[str, ...]:
    """Return the columns of a parquet file with those that pandas keeps as index; an unnamed index is ``""``."""
    import pyarrow.parquet

    names = pyarrow.parquet.read_schema(path).names
    return tuple("" if name.startswith("__index_level_") else name for name in names)
