"""The input of the evaluation: a cohort's outcomes and folds, and the predictions of one model as dense arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pathgptomic.cohort.tables import read_patients, read_splits

COLUMNS = ("fold", "seed", "patient_id", "role", "log_hazard")
ROLES = ("train", "inner", "test")
MEAN_SEED = "mean"


@dataclass(frozen=True)
class Cohort:
    """Outcomes and folds of N patients in F folds.

    Attributes
    ----------
    patients
        Ids, shape (N,).
    time, event
        Follow-up in days and whether the death was observed, shape (N,).
    folds
        Fold numbers, shape (F,).
    train, test
        Role of each patient in each fold, bool, shape (F, N).
    subgroups
        Level of each patient in each subgroup column that has more than one, shape (N,); empty text where not known.
    """

    patients: pd.Index
    time: np.ndarray
    event: np.ndarray
    folds: np.ndarray
    train: np.ndarray
    test: np.ndarray
    subgroups: dict[str, np.ndarray]

    @classmethod
    def read(cls, patients: str | Path, splits: str | Path, subgroups: tuple[str, ...] = ()) -> Cohort:
        """Read `patients.tsv` and `splits.tsv`; `subgroups` are columns of the former."""
        table = read_patients(patients)
        roles = read_splits(splits, table.index)
        missing = [column for column in subgroups if column not in table.columns]
        if missing:
            raise ValueError(
                f"{patients} has no column '{missing[0]}', which `subgroups` names; name one of {', '.join(table)}."
            )
        folds = np.sort(roles["fold"].unique())
        place = np.searchsorted(folds, roles["fold"]), table.index.get_indexer(roles["patient_id"])
        masks = {}
        for role in ("train", "test"):
            masks[role] = np.zeros((len(folds), len(table)), bool)
            chosen = (roles["role"] == role).to_numpy()
            masks[role][place[0][chosen], place[1][chosen]] = True
        return cls(
            patients=table.index,
            time=table["time_days"].to_numpy(float),
            event=table["event"].to_numpy(bool),
            folds=folds,
            train=masks["train"],
            test=masks["test"],
            subgroups={name: level for name in subgroups if len(set(level := _levels(table[name])) - {""}) > 1},
        )

    def ratio(self) -> float:
        """Return the mean over folds of n_test / n_train."""
        return float((self.test.sum(axis=1) / self.train.sum(axis=1)).mean())

    def is_partition(self) -> bool:
        """Return whether no patient is tested twice."""
        return bool(self.test.sum(axis=0).max() <= 1)


@dataclass(frozen=True)
class Risks:
    """Log-hazards of one model and seed, or the mean of the seeds; NaN where a patient lacks the role, shape (F, N)."""

    train: np.ndarray
    inner: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Predictions:
    """Log-hazards of one model: ``by_seed[seed]``, and ``mean`` over the seeds."""

    model: str
    by_seed: dict[int, Risks]
    mean: Risks


def _levels(column: pd.Series) -> np.ndarray:
    return column.fillna("").astype(str).to_numpy()


def read_predictions(path: str | Path, model: str, cohort: Cohort) -> Predictions:
    """Read the `predictions.tsv` of a model.

    Raises
    ------
    ValueError
        If a column is missing, a value is not finite, a row is listed twice, a patient's role contradicts the splits,
        or a test patient has no prediction.
    """
    table = pd.read_csv(path, sep="\t", dtype={"patient_id": str, "role": "category"}, keep_default_na=False)
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        raise ValueError(f"{path} has no column '{missing[0]}'; it needs {', '.join(COLUMNS)}.")
    if table.empty:
        raise ValueError(f"{path} has no rows: model {model} predicted nobody.")
    values = pd.to_numeric(table["log_hazard"], errors="coerce").to_numpy(float)
    if not np.isfinite(values).all():
        row = table.iloc[int(np.argmin(np.isfinite(values)))]
        raise ValueError(
            f"{path}: log_hazard of patient {row['patient_id']} in fold {row['fold']} is {row['log_hazard']!r}; model "
            f"{model} must predict a finite number."
        )
    seeds = np.sort(table["seed"].unique())
    dense = np.full((len(ROLES), len(seeds), *cohort.test.shape), np.nan)
    place = (
        pd.Index(ROLES).get_indexer(table["role"].astype(str)),
        np.searchsorted(seeds, table["seed"]),
        pd.Index(cohort.folds).get_indexer(table["fold"]),
        cohort.patients.get_indexer(table["patient_id"]),
    )
    _check_places(table, place, path)
    dense[place] = values
    _check_roles(dense, np.isfinite(values).sum(), cohort, path, model)
    by_seed = {int(seed): Risks(*dense[:, number]) for number, seed in enumerate(seeds)}
    return Predictions(model, by_seed, Risks(*dense.mean(axis=1)))


def _check_places(table: pd.DataFrame, place: tuple[np.ndarray, ...], path: str | Path) -> None:
    names = {"role": ", ".join(ROLES), "seed": "a number", "fold": "in splits.tsv", "patient_id": "in patients.tsv"}
    for (column, known), positions in zip(names.items(), place, strict=True):
        if (positions < 0).any():
            value = table[column].iloc[int(np.argmin(positions))]
            raise ValueError(f"{path} holds {column} {value!r}, which is unknown here; it must be {known}.")
    twice = table.duplicated(list(COLUMNS[:4]))
    if twice.any():
        row = table[twice].iloc[0]
        raise ValueError(
            f"{path} lists patient {row['patient_id']} twice as {row['role']} in fold {row['fold']}, seed "
            f"{row['seed']}; a prediction has one row."
        )


def _check_roles(dense: np.ndarray, rows: int, cohort: Cohort, path: str | Path, model: str) -> None:
    given = np.isfinite(dense)
    allowed = np.stack([cohort.train, cohort.train, cohort.test])[:, None]
    wrong = np.argwhere(given & ~allowed)
    if len(wrong):
        role, _, fold, patient = wrong[0]
        raise ValueError(
            f"{path} has patient {cohort.patients[patient]} as {ROLES[role]} in fold {cohort.folds[fold]}, against "
            f"splits.tsv; a test patient must not be predicted as a training patient, nor the reverse."
        )
    untested = np.argwhere(cohort.test & ~given[2])
    if len(untested):
        _, fold, patient = untested[0]
        raise ValueError(
            f"{path} has no test row for patient {cohort.patients[patient]} in fold {cohort.folds[fold]}; model "
            f"{model} must predict every test patient of every fold and seed."
        )
    partial = np.argwhere(given.any(axis=1) != given.all(axis=1))
    if len(partial):
        role, fold, patient = partial[0]
        raise ValueError(
            f"{path} predicts patient {cohort.patients[patient]} as {ROLES[role]} in fold {cohort.folds[fold]} with "
            f"some seeds only; every seed must predict the same patients."
        )
