"""Read the tab-separated files of the GDC fast: comment lines on top, no quoting, only the columns that are needed."""

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv


def read_tsv(path: str | Path, columns: Mapping[str, pa.DataType], alternatives: Sequence[str] = ()) -> pa.Table:
    """Read some columns of a tab-separated file, plain or gzip; an empty cell is missing.

    Parameters
    ----------
    path
        The file. Lines above the header that begin with ``#`` are skipped.
    columns
        Columns to read and their types.
    alternatives
        Those of `columns` that may be absent.

    Raises
    ------
    ValueError
        If another column is absent, or a value is not of its type.
    """
    comments, header = _head(path)
    for name in columns:
        if name not in header and name not in alternatives:
            raise ValueError(f"{path} has no column {name!r}; its columns are {', '.join(header[:12])}.")
    present = {name: kind for name, kind in columns.items() if name in header}
    try:
        return pyarrow.csv.read_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(skip_rows=comments, use_threads=False),
            parse_options=pyarrow.csv.ParseOptions(delimiter="\t", quote_char=False),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=list(present), column_types=present, null_values=["", "NA"], strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path} cannot be read: {error}; fetch it again.") from error


def _head(path: str | Path) -> tuple[int, list[str]]:
    """Return the number of comment lines and the names of the columns."""
    opened = gzip.open if str(path).endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8") as handle:
        for comments, line in enumerate(handle):
            if not line.startswith("#"):
                return comments, line.rstrip("\n").split("\t")
    raise ValueError(f"{path} has no header line; fetch it again.")
