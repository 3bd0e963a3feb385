"""What the survival stage reads of one cohort: patients, feature tables, bags, folds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from pathgptomic.cohort.bags import Bags
from pathgptomic.cohort.tables import read_expression, read_features, read_patients, read_splits
from pathgptomic.survival.pictures import Regions

TABLES = ("expression", "cnv", "mutations")  # modalities with one row of features a patient
ADAPTER = "genomics:"  # "genomics:{adapter}" names an embedding table of the genomics stage


@dataclass(frozen=True)
class Fold:
    """One outer fold, as row positions in `CohortInputs.patients`.

    Attributes
    ----------
    train, test
        Ascending positions; every fitted number comes from `train` alone.
    inner
        The inner validation part (1 ... inner_folds) of each training row, aligned with `train`.
    """

    number: int
    train: np.ndarray
    test: np.ndarray
    inner: np.ndarray

    def networks(self) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Yield (inner, fitted rows, left-out rows): 0 is the fit on the whole training part, k leaves out part k."""
        yield 0, self.train, self.train[:0]
        for part in np.unique(self.inner):
            yield int(part), self.train[self.inner != part], self.train[self.inner == part]


@dataclass(frozen=True)
class CohortInputs:
    """Everything a model or a baseline of one cohort may use.

    Attributes
    ----------
    patients
        Index patient_id, ascending: time_days, event, site, stratum, covariates (raw values), has_{modality}.
    covariates
        Covariate name -> kind, as in the cohort file.
    features
        Modality -> float32 table, patients x features, in the row order of `patients`; rows of NaN where a patient
        lacks the modality.
    linear
        Tables that hold non-negative values on a linear scale and want log2(x + 1) before standardising.
    bags
        Instances of slides, or None.
    folds
        The outer folds in order.
    rois
        Regions of interest, or None.
    """

    patients: pd.DataFrame
    covariates: Mapping[str, str | Mapping[str, Sequence[str]]]
    features: Mapping[str, pd.DataFrame]
    linear: frozenset[str]
    bags: Bags | None
    folds: tuple[Fold, ...]
    rois: Regions | None = None

    @property
    def time_days(self) -> np.ndarray:
        """Follow-up in days, shape (patients,)."""
        return self.patients["time_days"].to_numpy(float)

    @property
    def event(self) -> np.ndarray:
        """True where the death was observed, shape (patients,)."""
        return self.patients["event"].to_numpy(bool)

    def present(self, modality: str) -> np.ndarray:
        """Return which patients have a modality, bool, shape (patients,)."""
        if modality in self.features and modality.startswith(ADAPTER):
            return self.features[modality].notna().any(axis=1).to_numpy()
        if modality == "rois":
            return self.rois.present(self.patients.index)
        return self.patients[f"has_{modality}"].to_numpy(bool)

    def complete(self, modalities: Sequence[str]) -> CohortInputs:
        """Return the inputs of the patients who have all of `modalities`."""
        keep = np.logical_and.reduce([np.ones(len(self.patients), bool), *map(self.present, modalities)])
        position = np.cumsum(keep) - 1
        folds = tuple(
            Fold(
                fold.number,
                position[fold.train[keep[fold.train]]],
                position[fold.test[keep[fold.test]]],
                fold.inner[keep[fold.train]],
            )
            for fold in self.folds
        )
        features = {name: table[keep] for name, table in self.features.items()}
        return replace(self, patients=self.patients[keep], features=features, folds=folds)


def read_inputs(
    paths: Mapping[str, str], covariates: Mapping[str, str | Mapping], modalities: Sequence[str]
) -> CohortInputs:
    """Read the files of a cohort that a model with these modalities needs.

    Parameters
    ----------
    paths
        ``patients``, ``splits``, and a file for each modality but ``clinical``: ``expression`` (h5ad), ``cnv``,
        ``mutations``, ``genomics:{adapter}`` (parquet), ``slides`` (bags.npy, with bags.tsv and bags.json beside it),
        ``rois`` (rois.npy, with rois.tsv beside it).
    covariates
        Covariates of the cohort file; used only if ``clinical`` is among the modalities.
    modalities
        What to read.

    Raises
    ------
    ValueError
        If the cohort has no feature, no bag or no covariate of a modality that is asked for.
    """
    patients = read_patients(paths["patients"], covariates)
    features, linear = {}, set()
    for modality in modalities:
        if modality in ("clinical", "slides", "rois"):
            continue
        if modality == "expression":
            table, scale = read_expression(paths[modality])
            linear |= {modality} if scale == "linear" else set()
        else:
            table = read_features(paths[modality])
        if not table.shape[1]:
            raise ValueError(f"{paths[modality]} has no feature: leave {modality} out of the model's modalities")
        features[modality] = table.reindex(patients.index).astype(np.float32)
    if "clinical" in modalities and not covariates:
        raise ValueError("the cohort file names no covariate: add `covariates`, or leave clinical out of the model")
    return CohortInputs(
        patients=patients,
        covariates=dict(covariates) if "clinical" in modalities else {},
        features=features,
        linear=frozenset(linear),
        bags=Bags.load(Path(paths["slides"]).parent) if "slides" in modalities else None,
        folds=make_folds(patients.index, read_splits(paths["splits"], patients.index)),
        rois=Regions.load(paths["rois"]) if "rois" in modalities else None,
    )


def make_folds(patient_ids: pd.Index, splits: pd.DataFrame) -> tuple[Fold, ...]:
    """Return the folds of a split table (fold, patient_id, role, inner) as row positions in `patient_ids`."""
    rows = splits.assign(position=patient_ids.get_indexer(splits["patient_id"])).sort_values(["fold", "position"])
    folds = []
    for number, fold in rows.groupby("fold"):
        train = fold[fold["role"] == "train"]
        test = fold.loc[fold["role"] == "test", "position"].to_numpy()
        folds.append(Fold(int(number), train["position"].to_numpy(), test, train["inner"].to_numpy(int)))
    return tuple(folds)
