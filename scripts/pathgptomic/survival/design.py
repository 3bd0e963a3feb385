"""From a cohort's tables to the numbers that one network reads, fitted on that network's own training patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.linalg import eigh

from pathgptomic.survival.inputs import CohortInputs
from pathgptomic.survival.preprocess import CovariateEncoder, FeatureScaler
from pathgptomic.survival.settings import ModelSettings, Reduction


@dataclass(frozen=True)
class TableDesign:
    """How one network reads a feature table.

    Attributes
    ----------
    scaler
        Fitted on the training patients.
    columns
        All columns of the network's input. A feature that the scaler dropped stays as a column of zeros, so that
        networks of one model have one shape.
    components
        Principal axes [features of the scaler, components], or None.
    """

    scaler: FeatureScaler
    columns: tuple[str, ...]
    components: np.ndarray | None = None

    @classmethod
    def fit(cls, table: pd.DataFrame, reduction: Reduction, *, log: bool = False) -> TableDesign:
        """Learn from training patients (rows of `table`) who have the modality."""
        scaler = FeatureScaler.fit(table, variance=reduction.variance or None, log=log)
        if reduction.pca:
            components = principal_axes(scaler.transform(table), reduction.pca)
            return cls(scaler, tuple(f"PC{i + 1}" for i in range(reduction.pca)), components)
        if reduction.variance:
            return cls(scaler, tuple(f"feature {i + 1}" for i in range(min(reduction.variance, table.shape[1]))))
        return cls(scaler, tuple(map(str, table.columns)))

    def transform(self, table: pd.DataFrame) -> np.ndarray:
        """Return float32 [patients, len(self.columns)]."""
        values = self.scaler.transform(table)
        if self.components is not None:
            return values @ self.components
        out = np.zeros((len(table), len(self.columns)), np.float32)
        names = list(self.scaler.names)
        at = np.arange(len(names)) if self.columns[:1] == ("feature 1",) else pd.Index(self.columns).get_indexer(names)
        out[:, at] = values
        return out


@dataclass(frozen=True)
class ClinicalDesign:
    """How one network reads the covariates; `columns` are those of all networks of the model."""

    encoder: CovariateEncoder
    columns: tuple[str, ...]

    def transform(self, table: pd.DataFrame) -> np.ndarray:
        """Return float32 [patients, len(self.columns)]; a column that this network's patients do not vary in is 0."""
        out = np.zeros((len(table), len(self.columns)), np.float32)
        out[:, [self.columns.index(name) for name in self.encoder.names]] = self.encoder.transform(table)
        return out


@dataclass(frozen=True)
class Design:
    """How one network reads a patient: one part for each modality but attention-pooled slides."""

    parts: Mapping[str, TableDesign | ClinicalDesign]

    def transform(self, tables: Mapping[str, pd.DataFrame], encoders: Mapping[str, Sequence[str]]) -> dict:
        """Return {encoder: float32 [patients, inputs]} of raw tables by modality, same patients in each."""
        return {
            encoder: np.concatenate([self.parts[name].transform(tables[name]) for name in names], axis=1)
            for encoder, names in encoders.items()
            if all(name in self.parts for name in names)
        }

    def widths(self, encoders: Mapping[str, Sequence[str]]) -> dict[str, int]:
        """Return {encoder: inputs}."""
        return {
            encoder: sum(len(self.parts[name].columns) for name in names)
            for encoder, names in encoders.items()
            if all(name in self.parts for name in names)
        }


def fit_design(
    inputs: CohortInputs,
    tables: Mapping[str, pd.DataFrame],
    rows: np.ndarray,
    settings: ModelSettings,
    clinical: ClinicalDesign | None,
) -> Design:
    """Fit one network's preprocessing.

    Parameters
    ----------
    tables
        Raw table of each modality, patients in the cohort's order.
    rows
        The network's training patients, as positions.
    clinical
        How this network reads the covariates, if it does.
    """
    parts: dict[str, TableDesign | ClinicalDesign] = {}
    for name, table in tables.items():
        if name == "clinical":
            parts[name] = clinical
            continue
        fitted = rows[inputs.present(name)[rows]]
        reduction = settings.features.get(name, Reduction())
        parts[name] = TableDesign.fit(table.iloc[fitted], reduction, log=name in inputs.linear)
    return Design(parts)


def raw_tables(inputs: CohortInputs, settings: ModelSettings, fold: int) -> dict[str, pd.DataFrame]:
    """Return {modality: raw table} of one fold, patients in the cohort's order; slides enter as mean instances."""
    tables = {}
    for name in settings.modalities:
        if name == "clinical":
            tables[name] = inputs.patients
        elif name != "slides":
            tables[name] = inputs.features[name]
        elif settings.pooling == "mean":
            means = inputs.bags.means(fold, inputs.patients.index)
            tables[name] = pd.DataFrame(means, inputs.patients.index, list(inputs.bags.features))
    return tables


def clinical_designs(inputs: CohortInputs) -> dict[tuple[int, int], ClinicalDesign]:
    """Return {(fold, inner): how that network reads the covariates}.

    Networks whose patients show other levels have other columns; all get the columns of all. Only their names are
    shared, so that nothing is learnt from another network's patients.
    """
    encoders = {
        (fold.number, inner): CovariateEncoder.fit(inputs.patients.iloc[rows], inputs.covariates)
        for fold in inputs.folds
        for inner, rows, _ in fold.networks()
    }
    columns = tuple(dict.fromkeys(name for encoder in encoders.values() for name in encoder.names))
    return {at: ClinicalDesign(encoder, columns) for at, encoder in encoders.items()}


def principal_axes(values: np.ndarray, count: int) -> np.ndarray:
    """Return the first principal axes of standardised rows, scaled so that the first component has variance 1.

    One factor for all of them: the later components keep their smaller variance, and a network that starts with equal
    weights sees them as the smaller signals that they are.

    Parameters
    ----------
    values
        [patients, features], centred.
    count
        Number of axes; those beyond the rank are zero.

    Returns
    -------
    ndarray
        float32 [features, count].
    """
    n, p = values.shape
    axes = np.zeros((p, count), np.float32)
    if not n or not p:
        return axes
    gram = (values @ values.T if n <= p else values.T @ values).astype(np.float64)
    size = len(gram)
    kept = min(count, size)
    variance, vectors = eigh(gram, subset_by_index=[size - kept, size - 1])
    variance, vectors = variance[::-1], vectors[:, ::-1]
    good = variance > 1e-6 * max(variance[0], 1e-12)
    vectors = vectors[:, good]
    if n <= p:
        vectors = values.T @ (vectors / np.sqrt(variance[good])).astype(np.float32)
    # an eigenvector has no sign of its own: make its largest entry positive
    sign = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    axes[:, : vectors.shape[1]] = vectors * sign * np.sqrt(n / variance[0])
    return axes
