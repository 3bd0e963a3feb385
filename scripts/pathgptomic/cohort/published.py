"""Published splits in any layout -> fold, patient, role."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pathgptomic.cohort.headers import column_names
from pathgptomic.cohort.readers import patient_ids, plain, read_text
from pathgptomic.cohort.source import PUBLISHED_ROLES


def read_published(files: Sequence[str], dialect: Mapping[str, Any]) -> pd.DataFrame:
    """Read published splits.

    Parameters
    ----------
    files
        One file, or one a fold in the layout ``lists``.
    dialect
        `tables.splits` of the cohort file.

    Returns
    -------
    DataFrame
        `fold` (from 1), `patient_id`, `role` (train, validation or test), one row for each fold and patient.

    Raises
    ------
    ValueError
        If a word is none of those stated, or a patient has two roles in a fold.
    """
    layout = {"wide": _wide, "long": _long, "lists": _lists}[dialect["layout"]]
    rows = layout(files, dialect).dropna(subset=["word", "patient_id"])
    path = files[0]
    words = {plain(word): role for role in PUBLISHED_ROLES for word in dialect[role]}
    rows["role"] = rows["word"].map(plain).map(words)
    unknown = rows["role"].isna()
    if unknown.any():
        raise ValueError(
            f"{path} holds the word {rows.loc[unknown, 'word'].iloc[0]!r}; name it in `train`, `validation` or `test` "
            "of `tables.splits`, or in `missing`."
        )
    rows["patient_id"] = patient_ids(rows["patient_id"], dialect["id"], path)
    rows = rows[["fold", "patient_id", "role"]].drop_duplicates()  # rows per slide agree within a patient
    twice = rows.duplicated(["fold", "patient_id"])
    if twice.any():
        fold, patient = rows.loc[twice, ["fold", "patient_id"]].iloc[0]
        raise ValueError(f"{path}: patient {patient} has two roles in fold {fold}; a patient is in one part of a fold.")
    return rows.sort_values(["fold", "patient_id"], ignore_index=True)


def fold_numbers(names: pd.Series) -> pd.Series:
    """Number folds from 1 in the order of their names, fold2 before fold10."""

    def natural(name: str) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]

    order = sorted(names.dropna().unique(), key=natural)
    return names.map({name: number for number, name in enumerate(order, start=1)})


def _wide(files: Sequence[str], dialect: Mapping[str, Any]) -> pd.DataFrame:
    """A row a patient, a column a fold."""
    names = column_names(files[0], dialect["separator"], dialect["comment"])
    folds = dialect["folds"] or [name for name in names if name not in (dialect["patient"], *dialect["only"])]
    table = read_text(files[0], dialect, [dialect["patient"], *folds])
    parts = [
        pd.DataFrame({"fold": number, "patient_id": table[dialect["patient"]], "word": table[column]})
        for number, column in enumerate(folds, start=1)
    ]
    return pd.concat(parts, ignore_index=True)


def _long(files: Sequence[str], dialect: Mapping[str, Any]) -> pd.DataFrame:
    """A row for each fold and patient; folds are numbered from 1 in the order of their names."""
    table = read_text(files[0], dialect, [dialect["fold"], dialect["patient"], dialect["role"]])
    table = table.set_axis(["fold", "patient_id", "word"], axis=1).dropna(subset=["fold"])
    return table.assign(fold=fold_numbers(table["fold"]))


def _lists(files: Sequence[str], dialect: Mapping[str, Any]) -> pd.DataFrame:
    """A file a fold, in it a column of ids for each part (CLAM's layout)."""
    words = [word for role in PUBLISHED_ROLES for word in dialect[role]]
    parts = []
    for number, file in enumerate(files, start=1):
        table = read_text(file, dialect, words)
        parts += [pd.DataFrame({"fold": number, "patient_id": table[word], "word": word}) for word in words]
    return pd.concat(parts, ignore_index=True)
