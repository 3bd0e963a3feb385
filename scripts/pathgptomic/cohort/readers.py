"""Read one table as somebody else wrote it: columns of text, or a matrix of numbers with names on both sides."""

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pathgptomic.cohort.headers import column_names, file_format, separator, text_header

logger = logging.getLogger(__name__)

Dialect = Mapping[str, Any]  # the keys of one table in the cohort file


def read_text(path: str | Path, dialect: Dialect, columns: Sequence[str]) -> pd.DataFrame:
    """Read columns of a csv, tsv, txt or parquet table as text, NaN where the value is missing.

    Parameters
    ----------
    path
        The table.
    dialect
        `separator`, `comment`, `missing` and `only` of the table.
    columns
        Names to read, in this order.

    Raises
    ------
    ValueError
        If the table lacks one of the columns.
    """
    filters = dialect["only"]
    wanted = list(dict.fromkeys([*columns, *filters]))
    require_columns(path, column_names(path, dialect["separator"], dialect["comment"]), wanted)
    if file_format(path) == ".parquet":
        table = _read_parquet(path, wanted).apply(as_text)
    else:
        table = _read_csv(path, dialect, wanted, dtype=str, keep_default_na=False, na_filter=False)
        table = table.apply(lambda column: column.str.strip())
    table = table.where(~table.isin(dialect["missing"]), np.nan)
    return _filter(table, filters)[list(dict.fromkeys(columns))]


def read_matrix(path: str | Path, dialect: Dialect, names: str, columns: Sequence[str]) -> pd.DataFrame:
    """Read a table of numbers.

    Parameters
    ----------
    path
        The table: csv, tsv, txt or parquet.
    dialect
        `separator`, `comment`, `decimal`, `missing` and `only` of the table.
    names
        Column that names the rows.
    columns
        Columns of numbers to read.

    Returns
    -------
    DataFrame
        Index: the text in `names`, in the order of the file; float32 or float64 columns.
    """
    filters = [column for column in dialect["only"] if column != names]
    wanted = list(dict.fromkeys([names, *filters, *columns]))
    require_columns(path, column_names(path, dialect["separator"], dialect["comment"]), wanted)
    if file_format(path) == ".parquet":
        table = _read_parquet(path, wanted)
    else:
        text = dict.fromkeys((names, *filters), str)
        words = [word for word in dialect["missing"] if word]
        table = _read_csv(
            path, dialect, wanted, dtype=text, na_values=words, decimal=dialect["decimal"], low_memory=False
        )
    labels = table[[names, *filters]].apply(as_text)
    table = table[list(columns)].set_axis(pd.Index(labels[names], name=names))
    kept = _filter(labels.reset_index(drop=True), dialect["only"]).index
    return _all_numbers(path, table.iloc[kept])


def read_h5ad(path: str | Path, dialect: Dialect) -> pd.DataFrame:
    """Read an h5ad file as observations x variables.

    Rows are named by the annotation `patient` of the observations if there is one, else by their index; columns by the
    annotation `gene` of the variables, or their index where `gene` is empty.
    """
    import anndata

    data = anndata.read_h5ad(path)
    if dialect["orientation"] == "genes_by_patients":
        data = data.T
    for column, words in dialect["only"].items():
        require_columns(path, data.obs.columns, [column])
        data = data[as_text(data.obs[column]).isin([plain(word) for word in words]).to_numpy()]
    if dialect["layer"] is not None and dialect["layer"] not in data.layers:
        known = ", ".join(data.layers) or "none"
        raise ValueError(f"{path} has no layer {dialect['layer']!r}; its layers are {known}.")
    table = data.to_df(layer=dialect["layer"])
    if dialect["patient"] in data.obs:
        table.index = pd.Index(as_text(data.obs[dialect["patient"]]))
    if dialect["gene"] is not None:
        require_columns(path, data.var.columns, [dialect["gene"]])
        table.columns = pd.Index(as_text(data.var[dialect["gene"]]))
    return table


def patient_ids(ids: pd.Index | pd.Series, rule: Mapping[str, Any], path: str | Path) -> pd.Index:
    """Turn the ids of one table into patient ids, as its `id` rule says.

    Raises
    ------
    ValueError
        If an id does not match the rule's pattern.
    """
    patients = pd.Series(np.asarray(ids, dtype=object))
    for old, new in rule["replace"].items():
        patients = patients.str.replace(old, new, regex=False)
    if rule["pattern"] is not None:
        patients = first_group(patients, rule["pattern"], path)
    if rule["characters"] is not None:
        patients = patients.str.slice(0, rule["characters"])
    return pd.Index(patients, name="patient_id")


def first_group(values: pd.Series, pattern: str, path: str | Path) -> pd.Series:
    """Return the first group of `pattern` in each value (missing values stay missing)."""
    found = values.str.extract(pattern, expand=False)
    wrong = found.isna() & values.notna()
    if wrong.any():
        raise ValueError(
            f"{path}: {values[wrong].iloc[0]!r} does not match the pattern {pattern!r}; correct the pattern."
        )
    return found


def as_text(values: pd.Series) -> pd.Series:
    """Return values as text, whole numbers without a decimal point, missing ones as NaN."""
    if pd.api.types.is_float_dtype(values.dtype):
        whole = values.dropna()
        if (whole == whole.round()).all():
            values = values.astype("Int64")
    text = values.astype(object).map(str, na_action="ignore")
    return text.where(values.notna(), np.nan)


def plain(word: Any) -> str:
    """Return a value of a coded column in one spelling: 1, "1" and "1.0" are the same code."""
    text = str(word).strip()
    return re.sub(r"^(-?\d+)\.0+$", r"\1", text)


def require_columns(path: str | Path, known: Sequence[str], columns: Sequence[str]) -> None:
    """Raise a sentence if `path` lacks one of `columns`."""
    present = set(known)
    missing = next((column for column in columns if column not in present), None)
    if missing is not None:
        names = ", ".join(repr(name) for name in list(known)[:12])
        raise ValueError(f"{path} has no column {missing!r}; it has {names}{' ...' if len(known) > 12 else ''}.")


def _read_csv(path: str | Path, dialect: Dialect, columns: Sequence[str], **options: Any) -> pd.DataFrame:
    header = text_header(path, dialect["separator"], dialect["comment"])
    position = {name: number for number, name in enumerate(header.names)}
    return pd.read_csv(
        path,
        sep=separator(path, dialect["separator"]),
        header=None,
        names=list(range(len(header.names))),
        usecols=[position[column] for column in columns],
        skiprows=header.lines,
        encoding="utf-8-sig",
        **{**options, "dtype": _by_position(options["dtype"], position)},
    ).rename(columns=dict(enumerate(header.names)))[list(columns)]


def _by_position(dtype: type | Mapping[str, type], position: Mapping[str, int]) -> Any:
    return {position[name]: kind for name, kind in dtype.items()} if isinstance(dtype, Mapping) else dtype


def _read_parquet(path: str | Path, columns: Sequence[str]) -> pd.DataFrame:
    import pyarrow.parquet

    names = [name if name != "" else "__index_level_0__" for name in columns]
    table = pyarrow.parquet.read_table(path, columns=names).to_pandas(ignore_metadata=True)
    return table[names].set_axis(list(columns), axis=1)


def _filter(table: pd.DataFrame, only: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    for column, words in only.items():
        table = table[table[column].map(plain).isin([plain(word) for word in words])]
    return table


def _all_numbers(path: str | Path, table: pd.DataFrame) -> pd.DataFrame:
    """Return the table if every column holds numbers, else say which does not and what to do."""
    for name, dtype in table.dtypes.items():
        if not (pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype)):
            values = table[name].dropna()
            value = values[pd.to_numeric(values, errors="coerce").isna()].iloc[:1].tolist()
            raise ValueError(
                f"{path}: column {name!r} holds {(value or [dtype])[0]!r}, which is not a number; put the column into "
                "`columns.drop`, or the word into `missing`."
            )
    return table
