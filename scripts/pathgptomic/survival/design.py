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
    factor
        One factor for the whole table: its first principal component gets the standard deviation `Reduction.scale`.
    components
        Principal axes [features of the scaler, components], or None.
    """

    scaler: FeatureScaler
    columns: tuple[str, ...]
    factor: float
    components: np.ndarray | None = None

    @classmethod
    def fit(cls, table: pd.DataFrame, reduction: Reduction, *, log: bool = False) -> TableDesign:
        """Learn from training patients (rows of `table`) who have the modality."""
        scaler = FeatureScaler.fit(table, variance=reduction.variance or None, log=log)
        values = scaler.transform(table)
        factor = reduction.scale / max(largest_spread(values), 1e-6)
        components = principal_axes(values, reduction.pca) if reduction.pca else None
        return cls(scaler, reduced_columns(table.columns, reduction), factor, components)

    def transform(self, table: pd.DataFrame) -> np.ndarray:
        """Return float32 [patients, len(self.columns)]."""
        values = self.scaler.transform(table) * np.float32(self.factor)
        if self.components is not None:
            return values @ self.components
        out = np.zeros((len(table), len(self.columns)), np.float32)
        at = pd.Index(self.columns).get_indexer(list(self.scaler.names))
        # features chosen by variance differ between networks: they stand in their own order
        out[:, np.arange(len(at)) if (at < 0).any() else at] = values
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
    """How one network reads a patient: one part for each modality but attention-pooled slides and regions."""

    parts: Mapping[str, TableDesign | ClinicalDesign]

    def transform(self, tables: Mapping[str, pd.DataFrame], encoders: Mapping[str, Sequence[str]]) -> dict:
        """Return {encoder: float32 [patients, inputs]} of raw tables by modality, same patients in each."""
        return {
            encoder: np.concatenate([self.parts[name].transform(tables[name]) for name in names], axis=1)
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
        parts[name] = TableDesign.fit(table.iloc[fitted], settings.reduction(name), log=name in inputs.linear)
    return Design(parts)


def raw_tables(inputs: CohortInputs, settings: ModelSettings, fold: int) -> dict[str, pd.DataFrame]:
    """Return {modality: raw table} of one fold, patients in the cohort's order; slides enter as mean instances."""
    tables = {}
    for name in settings.modalities:
        if name == "clinical":
            tables[name] = inputs.patients
        elif name not in ("slides", "rois"):
            tables[name] = inputs.features[name]
        elif name == "slides" and settings.pooling == "mean":
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


def reduced_columns(columns: Sequence[str], reduction: Reduction) -> tuple[str, ...]:
    """Return the names of a network's input columns for a table."""
    if reduction.pca:
        return tuple(f"component {i + 1}" for i in range(reduction.pca))
    if reduction.variance:
        return tuple(f"chosen {i + 1}" for i in range(min(reduction.variance, len(columns))))
    return tuple(map(str, columns))


def input_widths(
    inputs: CohortInputs, settings: ModelSettings, clinical: Mapping, image_features: int = 0
) -> dict[str, int]:
    """Return {encoder: width of its input}, the same for all networks of a model."""

    def width(modality: str) -> int:
        if modality == "clinical":
            return len(next(iter(clinical.values())).columns)
        if modality == "rois":
            return image_features
        if modality == "slides" and settings.pooling == "attention":
            return settings.network.attention
        table = inputs.bags.features if modality == "slides" else inputs.features[modality].columns
        return len(reduced_columns(table, settings.reduction(modality)))

    return {encoder: sum(map(width, names)) for encoder, names in settings.encoders.items()}


def principal_axes(values: np.ndarray, count: int) -> np.ndarray:
    """Return the first principal axes of standardised rows, of length 1: components keep their own variance.

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
    axes[:, : vectors.shape[1]] = vectors * sign
    return axes


def largest_spread(values: np.ndarray, iterations: int = 30) -> float:
    """Return the standard deviation of the first principal component of centred rows, by power iteration.

    Dividing a table by it puts tables of ten and of thousands of columns on one footing, as multiple factor analysis
    does: none leads in the first epochs only because it has more columns.

    References
    ----------
    Escofier and Pages, Multiple factor analysis, Comput. Stat. Data Anal. 18 (1994) 121.
    """
    direction = np.ones(values.shape[1], np.float32)
    length = 0.0
    for _ in range(iterations):
        product = values @ direction
        direction = product @ values
        length = float(np.linalg.norm(product))
        direction /= max(float(np.linalg.norm(direction)), 1e-30)
    return length / np.sqrt(max(len(values), 1))
