"""From table columns to numbers a model can use: fitted on training patients, stored in the model bundle.

Both classes are frozen, hold plain numbers only, and turn into JSON and back without loss.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

logger = logging.getLogger(__name__)

# A missing-value indicator is one more coefficient to fit: it is worth one where at least this share of the training
# patients lacks the value. Below it the imputed median or most frequent level stands alone.
INDICATOR_SHARE = 0.05
KNOT_QUANTILES = (0.10, 0.50, 0.90)  # Harrell, Regression Modeling Strategies (2015), table 2.3
CLIP = 5.0
WINSOR = 5.0

Kind = str | Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Covariate:
    """How one covariate becomes columns.

    Attributes
    ----------
    kind
        ``numeric``, ``ordinal`` or ``nominal``.
    fill
        What stands in for a missing value: the training median (numeric, ordinal) or the most frequent level.
    levels
        Levels in order (ordinal), or all training levels with the reference, the most frequent one, first (nominal).
    knots
        Knots of a restricted cubic spline; empty for a linear effect.
    indicator
        Whether a column says that the value was missing.
    """

    name: str
    kind: str
    fill: float | str
    levels: tuple[str, ...] = ()
    knots: tuple[float, ...] = ()
    indicator: bool = False

    def columns(self, values: pd.Series) -> dict[str, np.ndarray]:
        """Return the named columns, not yet standardised, of raw `values`."""
        missing = values.isna().to_numpy()
        columns: dict[str, np.ndarray] = {}
        if self.kind == "nominal":
            text = values.map(_text, na_action="ignore").fillna(self.fill)
            unseen = sorted(set(text) - set(self.levels))
            if unseen:
                logger.warning(
                    "%s: the level(s) %s were not seen in training and count as %s (the reference level)",
                    self.name, ", ".join(map(repr, unseen)), self.levels[0],
                )  # fmt: skip
            columns = {f"{self.name}={level}": (text == level).to_numpy(float) for level in self.levels[1:]}
        else:
            number = _ranks(values, self) if self.kind == "ordinal" else _numbers(values)
            number = np.where(missing, float(self.fill), number)
            columns[self.name] = number
            if self.knots:
                columns[f"{self.name}'"] = restricted_cubic(number, self.knots)
        if self.indicator:
            columns[f"{self.name} missing"] = missing.astype(float)
        return columns


@dataclass(frozen=True)
class CovariateEncoder:
    """Clinical covariates as standardised columns.

    Numeric covariates enter as they are (or with a restricted cubic spline), ordinal ones as the integer rank of their
    level: one coefficient, so that a rare level (KIRC has 13 tumours of grade 1) borrows strength from its neighbours,
    where one-hot columns would fit it alone. Nominal ones become one column for each level but the most frequent.
    """

    covariates: tuple[Covariate, ...]
    names: tuple[str, ...]
    mean: tuple[float, ...]
    sd: tuple[float, ...]

    @classmethod
    def fit(cls, table: pd.DataFrame, spec: Mapping[str, Kind], *, smooth: Sequence[str] = ()) -> CovariateEncoder:
        """Learn medians, levels, knots and scales from training patients.

        Parameters
        ----------
        table
            Training patients x covariates, raw values.
        spec
            Covariate name -> ``numeric``, ``nominal`` or ``{"ordinal": [levels, lowest first]}``.
        smooth
            Numeric covariates that get a restricted cubic spline with 3 knots (two columns instead of one).

        Raises
        ------
        ValueError
            If a covariate is not in the table, has an unknown kind, or holds a value that its kind does not allow.
        """
        covariates = tuple(_fit_covariate(table, name, kind, name in smooth) for name, kind in spec.items())
        raw = _raw(covariates, table)
        mean, sd = raw.to_numpy(float).mean(axis=0), raw.to_numpy(float).std(axis=0)
        keep = np.flatnonzero(sd > 1e-12)
        return cls(covariates, tuple(raw.columns[keep]), tuple(mean[keep].tolist()), tuple(sd[keep].tolist()))

    def transform(self, table: pd.DataFrame) -> np.ndarray:
        """Return float32 columns [patients, len(self.names)], mean 0 and sd 1 over the training patients."""
        raw = _raw(self.covariates, table)[list(self.names)].to_numpy(float)
        return ((raw - np.array(self.mean)) / np.array(self.sd)).astype(np.float32)

    def to_dict(self) -> dict:
        """Return plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, state: Mapping) -> CovariateEncoder:
        """Return the encoder that :meth:`to_dict` described."""
        covariates = tuple(
            Covariate(
                **{key: tuple(value) if isinstance(value, list | tuple) else value for key, value in each.items()}
            )
            for each in state["covariates"]
        )
        return cls(covariates, *(tuple(state[key]) for key in ("names", "mean", "sd")))


@dataclass(frozen=True)
class FeatureScaler:
    """Omics features as standardised columns.

    In this order: log2(x + 1) if asked for, training median for missing values, winsorised at the median +- 5 robust
    standard deviations (cohort z-scores hold single values in the thousands, which would otherwise be the feature's
    whole variance), standardised, clipped to +-5. Features whose quartiles coincide (mutations) are not winsorised.
    """

    names: tuple[str, ...]
    fill: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    log: bool = False

    @classmethod
    def fit(cls, table: pd.DataFrame, *, variance: int | None = None, log: bool = False) -> FeatureScaler:
        """Learn from training patients; features that are constant or wholly missing there are dropped.

        Parameters
        ----------
        table
            Training patients x features.
        variance
            Keep only this many features, those of largest variance after winsorising. None keeps all.
        log
            Take log2(x + 1) first, for expression on a linear scale.
        """
        values = _floats(table, log)
        n, p = values.shape
        # one sort gives every quantile; missing values sort to the end
        ordered = np.sort(values.T, axis=1)
        present = n - np.isnan(ordered).sum(axis=1)
        kept = np.flatnonzero(present > 0)
        ordered, present, values = ordered[kept], present[kept], values[:, kept]
        lower, fill, upper = (_quantile(ordered, present, q) for q in (0.25, 0.50, 0.75))
        reach = WINSOR * (upper - lower) / 1.349  # interquartile range of a normal with sd 1
        row = np.arange(len(kept))
        smallest, largest = (ordered[:, 0], ordered[row, present - 1]) if p else (fill, fill)
        low = np.where(reach > 0, np.maximum(fill - reach, smallest), smallest)
        high = np.where(reach > 0, np.minimum(fill + reach, largest), largest)
        values = np.clip(np.where(np.isnan(values), fill, values), low, high)
        mean, sd = values.mean(axis=0, dtype=np.float64), values.std(axis=0, dtype=np.float64)
        chosen = np.flatnonzero(sd > 1e-6)
        if variance is not None and len(chosen) > variance:
            largest_first = np.argsort(-sd[chosen], kind="stable")
            chosen = np.sort(chosen[largest_first[:variance]])
        numbers = (tuple(np.asarray(each, float)[chosen].tolist()) for each in (fill, low, high, mean, sd))
        return cls(tuple(table.columns[kept[chosen]]), *numbers, log=log)

    def transform(self, table: pd.DataFrame) -> np.ndarray:
        """Return float32 [patients, len(self.names)] within +-5.

        Raises
        ------
        ValueError
            If the table lacks a feature that the scaler was fitted on.
        """
        columns = table.columns.get_indexer(list(self.names))
        if len(columns) and columns.min() < 0:
            lacking = [name for name, at in zip(self.names, columns, strict=True) if at < 0]
            raise ValueError(
                f"{len(lacking)} of {len(self.names)} features of the model are not in the table, for example "
                f"{lacking[0]!r}: give the same features under the same names"
            )
        fill, low, high, mean, sd = (
            np.array(each, np.float32) for each in (self.fill, self.low, self.high, self.mean, self.sd)
        )
        values = _floats(table, self.log)[:, columns]
        values = np.clip(np.where(np.isnan(values), fill, values), low, high)
        return np.clip((values - mean) / sd, -CLIP, CLIP)

    def to_dict(self) -> dict:
        """Return plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, state: Mapping) -> FeatureScaler:
        """Return the scaler that :meth:`to_dict` described."""
        return cls(**_with_tuples(state))


def restricted_cubic(x: np.ndarray, knots: Sequence[float]) -> np.ndarray:
    """Return the non-linear term of a restricted cubic spline with three knots, linear beyond the outer two.

    References
    ----------
    Harrell, Regression Modeling Strategies (2015), eq. 2.25, scaled by the squared range of the knots.
    """
    first, middle, last = knots

    def cube(at: float) -> np.ndarray:
        return np.maximum(x - at, 0) ** 3

    rest = (cube(middle) * (last - first) - cube(last) * (middle - first)) / (last - middle)
    return (cube(first) - rest) / (last - first) ** 2


def _fit_covariate(table: pd.DataFrame, name: str, kind: Kind, smooth: bool) -> Covariate:
    if name not in table:
        raise ValueError(f"the covariate {name!r} is not a column of the patient table: correct its name")
    values = table[name]
    indicator = bool(values.isna().mean() >= INDICATOR_SHARE) and bool(values.notna().any())
    if kind == "nominal":
        counts = values.dropna().map(_text).value_counts()
        # most frequent first, ties in alphabetical order
        levels = tuple(sorted(counts.index, key=lambda level: (-counts[level], level)))
        return Covariate(name, "nominal", levels[0] if levels else "", levels or ("",), indicator=indicator)
    if isinstance(kind, Mapping) and set(kind) == {"ordinal"}:
        bare = Covariate(name, "ordinal", 0.0, tuple(map(_text, kind["ordinal"])))
        return Covariate(name, "ordinal", _median(_ranks(values, bare)), bare.levels, indicator=indicator)
    if kind != "numeric":
        raise ValueError(f"the covariate {name!r} has the kind {kind!r}: use numeric, nominal or ordinal with levels")
    number = _numbers(values)
    knots: tuple[float, ...] = ()
    if smooth:
        at = tuple(np.nanquantile(number, KNOT_QUANTILES).tolist()) if np.isfinite(number).any() else (0.0,) * 3
        knots = at if at[0] < at[1] < at[2] else ()
    return Covariate(name, "numeric", _median(number), knots=knots, indicator=indicator)


def _raw(covariates: Sequence[Covariate], table: pd.DataFrame) -> pd.DataFrame:
    columns: dict[str, np.ndarray] = {}
    for covariate in covariates:
        if covariate.name not in table:
            raise ValueError(f"the covariate {covariate.name!r} of the model is not a column of the patient table")
        columns |= covariate.columns(table[covariate.name])
    return pd.DataFrame(columns, index=table.index)


def _ranks(values: pd.Series, covariate: Covariate) -> np.ndarray:
    text = values.map(_text, na_action="ignore")
    unknown = sorted(set(text.dropna()) - set(covariate.levels))
    if unknown:
        raise ValueError(
            f"the covariate {covariate.name!r} holds {unknown[0]!r}, which is none of its levels "
            f"{', '.join(covariate.levels)}: add the level in order, or leave the cell empty"
        )
    return text.map({level: rank for rank, level in enumerate(covariate.levels)}).to_numpy(float)


def _numbers(values: pd.Series) -> np.ndarray:
    number = pd.to_numeric(values, errors="coerce")
    broken = number.isna() & values.notna()
    if broken.any():
        raise ValueError(
            f"the covariate {values.name!r} is numeric but holds {values[broken].iloc[0]!r}: "
            "correct the value, or declare the covariate nominal"
        )
    return number.to_numpy(float)


def _median(number: np.ndarray) -> float:
    return float(np.nanmedian(number)) if np.isfinite(number).any() else 0.0


def _text(value: object) -> str:
    """Return a level's name; 2.0 and 2 are the same level, since a column with an empty cell reads as floats."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _with_tuples(state: Mapping) -> dict:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in state.items()}


def _floats(table: pd.DataFrame, log: bool) -> np.ndarray:
    values = table.to_numpy(np.float32)
    return np.log2(values + 1) if log else values


def _quantile(ordered: np.ndarray, present: np.ndarray, q: float) -> np.ndarray:
    """Return quantile `q` of each row of `ordered`, of which the first `present` values count."""
    at = q * (present - 1)
    below = np.floor(at).astype(int)
    above = np.minimum(below + 1, present - 1)
    row = np.arange(len(ordered))
    return ordered[row, below] + (at - below) * (ordered[row, above] - ordered[row, below])
