"""Bags of instances: the image features of every patient, packed in one array that training maps into memory."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd

from pathgptomic.files import atomic

COLUMNS = ("fold", "patient_id", "start", "stop")
EVERY_FOLD = 0  # the `fold` of a bag that no fold's training has touched


@dataclass(frozen=True)
class Bags:
    """Rows of instance features and the range of rows of each bag.

    Attributes
    ----------
    rows
        Array [instances, features], float16 or float32, mapped from the file: index it, do not copy it whole.
    index
        One row a bag, columns `fold` (0 = valid in every fold), `patient_id`, `start`, `stop` (exclusive).
    features
        Names of the columns of `rows`.
    source
        Where the features come from, in words.
    in_sample_train
        True where the network that made the features of a fold was trained on that fold's training patients, so that
        their rows look better than those of new patients would.
    """

    rows: np.ndarray
    index: pd.DataFrame
    features: tuple[str, ...]
    source: str
    in_sample_train: bool

    def __post_init__(self):
        twice = self.index.duplicated(["fold", "patient_id"])
        if twice.any():
            fold, patient = self.index.loc[twice, ["fold", "patient_id"]].iloc[0]
            raise ValueError(f"the bags hold patient {patient} twice in fold {fold}; a patient has one bag in a fold.")
        start, stop = self.index["start"].to_numpy(), self.index["stop"].to_numpy()
        if ((start < 0) | (stop <= start) | (stop > len(self.rows))).any():
            raise ValueError(f"the bags' row ranges do not fit their {len(self.rows)} rows; pack the features again.")
        if len(self.features) != self.rows.shape[1]:
            raise ValueError(f"the bags name {len(self.features)} features but hold {self.rows.shape[1]} columns.")

    @classmethod
    def load(cls, folder: str | Path) -> "Bags":
        """Open ``bags.npy`` (memory-mapped), ``bags.tsv`` and ``bags.json`` in `folder`."""
        folder = Path(folder)
        facts = json.loads((folder / "bags.json").read_text(encoding="utf-8"))
        index = pd.read_csv(folder / "bags.tsv", sep="\t", dtype={"patient_id": str}, keep_default_na=False)
        path = folder / "bags.npy"
        # an array without elements cannot be mapped
        rows = np.load(path) if facts["instances"] == 0 else np.load(path, mmap_mode="r")
        return cls(rows, index, tuple(facts["features"]), facts["source"], facts["in_sample_train"])

    @property
    def per_fold(self) -> bool:
        """Whether the features differ between folds."""
        return bool((self.index["fold"] != EVERY_FOLD).any())

    def patients(self, fold: int) -> list[str]:
        """Return the sorted ids of the patients who have a bag in `fold`."""
        return sorted(self._of_fold(fold).index)

    def for_fold(self, fold: int, patients: Sequence[str]) -> np.ndarray:
        """Return the row ranges of `patients` in `fold`: int64 [len(patients), 2], start and stop; 0, 0 where none."""
        ranges = self._of_fold(fold)[["start", "stop"]].reindex(list(patients), fill_value=0)
        return ranges.to_numpy(np.int64)

    def bag(self, fold: int, patient: str) -> np.ndarray:
        """Return the instances of one patient, [instances, features]; no rows where the patient has none."""
        start, stop = self.for_fold(fold, [patient])[0]
        return self.rows[start:stop]

    def means(self, fold: int, patients: Sequence[str]) -> np.ndarray:
        """Return the mean instance of each patient in `fold`: float32 [len(patients), features], NaN where none."""
        means = np.full((len(patients), len(self.features)), np.nan, dtype=np.float32)
        for row, (start, stop) in enumerate(self.for_fold(fold, patients)):
            if stop > start:
                means[row] = self.rows[start:stop].mean(axis=0, dtype=np.float64)
        return means

    def _of_fold(self, fold: int) -> pd.DataFrame:
        chosen = self.index["fold"].isin([EVERY_FOLD, fold])
        return self.index[chosen].set_index("patient_id")


def write_bags(
    folder: str | Path,
    bags: Iterable[tuple[int, str, np.ndarray]],
    *,
    features: Sequence[str],
    source: str,
    in_sample_train: bool,
    dtype: type[np.floating] = np.float32,
) -> pd.DataFrame:
    """Write bags one after the other, so that only one of them is ever in memory.

    Parameters
    ----------
    folder
        Where ``bags.npy``, ``bags.tsv`` and ``bags.json`` go.
    bags
        (fold, patient_id, instances [n, len(features)]) in the order of writing; fold 0 = valid in every fold.
    features
        Names of the columns.
    source, in_sample_train
        See `Bags`.
    dtype
        float16 or float32.

    Returns
    -------
    DataFrame
        The index of the bags.
    """
    folder = Path(folder)
    records, count = [], 0
    with (
        atomic(folder / "bags.npy") as rows,
        atomic(folder / "bags.tsv") as index,
        atomic(folder / "bags.json") as facts,
    ):
        with open(rows, "wb") as handle:
            _write_header(handle, 0, len(features), dtype)
            for fold, patient, instances in bags:
                instances = np.ascontiguousarray(instances, dtype=dtype)
                _check(fold, patient, instances, features)
                handle.write(instances.tobytes())
                records.append((fold, patient, count, count + len(instances)))
                count += len(instances)
            handle.seek(0)
            _write_header(handle, count, len(features), dtype)
        table = pd.DataFrame(records, columns=list(COLUMNS))
        if table.duplicated(["fold", "patient_id"]).any():
            raise ValueError("a patient has two bags in one fold; join the slides of a patient before packing them.")
        table.to_csv(index, sep="\t", index=False, lineterminator="\n")
        content = {
            "features": list(features),
            "source": source,
            "in_sample_train": in_sample_train,
            "bags": len(table),
            "instances": count,
        }
        facts.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return table


def _check(fold: int, patient: str, instances: np.ndarray, features: Sequence[str]) -> None:
    """Raise if a bag cannot be stored."""
    if instances.ndim != 2 or instances.shape[1] != len(features) or not len(instances):
        raise ValueError(
            f"the bag of patient {patient} (fold {fold}) has shape {instances.shape}; "
            f"it needs at least one row of {len(features)} features."
        )
    if not np.isfinite(instances).all():
        raise ValueError(
            f"the bag of patient {patient} (fold {fold}) holds missing or infinite values; leave out the feature or "
            "the patient."
        )


def _write_header(handle: BinaryIO, rows: int, columns: int, dtype: type[np.floating]) -> None:
    """Write a header of fixed length, so that the number of rows can be filled in once it is known."""
    header = f"{{'descr': '{np.dtype(dtype).str}', 'fortran_order': False, 'shape': ({rows:>20}, {columns:>10}), }}"
    handle.write(np.lib.format.magic(1, 0))
    body = header.ljust(117).encode("latin1") + b"\n"
    handle.write(len(body).to_bytes(2, "little") + body)
