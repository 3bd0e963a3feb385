"""Intervals and tests for resampled metrics: corrected resampled t, bootstrap, Holm, minimum detectable difference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval and a two-sided test against 0; NaN and a reason where there is none.

    Attributes
    ----------
    value, ci_low, ci_high, p
        In the unit of the metric; the interval covers 1 - alpha.
    minimum_detectable
        The smallest true value that this design would find at level alpha with the stated power.
    folds
        Number of folds behind it (0: not made from folds).
    note
        Why a number is missing, else empty.
    """

    value: float
    ci_low: float = np.nan
    ci_high: float = np.nan
    p: float = np.nan
    minimum_detectable: float = np.nan
    folds: int = 0
    note: str = ""


def corrected_t(values: np.ndarray, ratio: float, *, alpha: float = 0.05, power: float = 0.8) -> Estimate:
    """Interval and test of a mean over overlapping train/test splits, corrected for the overlap.

    The plain t-test takes the folds as independent; they share training patients, so that it finds differences where
    there are none. The corrected variance is (1/J + n_test/n_train) times the sample variance over the J folds.

    Parameters
    ----------
    values
        One value a fold (of a metric, or of a paired difference), shape (J,); NaN where a fold has none.
    ratio
        n_test / n_train of the splits. 0 gives the uncorrected t-test.

    References
    ----------
    Nadeau and Bengio, Inference for the generalization error (2003), Machine Learning 52:239. For k-fold partitions:
    Bouckaert and Frank, Evaluating the replicability of significance tests (2004), PAKDD.
    """
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    folds = len(values)
    if folds == 0:
        return Estimate(np.nan, note="undefined in every fold")
    mean = float(values.mean())
    if folds == 1:
        return Estimate(mean, folds=1, note="one fold: no variance over folds, no t-test")
    error = float(np.sqrt((1 / folds + ratio) * values.var(ddof=1)))
    if error < 1e-12 * max(1.0, abs(mean)):
        if mean == 0:
            return Estimate(0.0, 0.0, 0.0, 1.0, 0.0, folds, "no difference in any fold")
        return Estimate(mean, folds=folds, note="the same value in every fold: no variance, no t-test")
    students = stats.t(folds - 1)
    quantile = students.ppf(1 - alpha / 2)
    return Estimate(
        value=mean,
        ci_low=mean - quantile * error,
        ci_high=mean + quantile * error,
        p=float(2 * students.sf(abs(mean) / error)),
        minimum_detectable=float((quantile + students.ppf(power)) * error),
        folds=folds,
    )


def bootstrap_difference(value: float, replicates: np.ndarray, *, alpha: float = 0.05, power: float = 0.8) -> Estimate:
    """Interval and test of a paired difference by the normal approximation with the bootstrap's standard error.

    Percentiles of 2,000 resamples cannot give the small p-values that Holm's adjustment over a family asks for; the
    standard error can.

    Parameters
    ----------
    value
        The difference on the patients as they are.
    replicates
        The difference in each resample of the same patients, shape (B,).
    """
    replicates = np.asarray(replicates, float)
    replicates = replicates[np.isfinite(replicates)]
    if not np.isfinite(value) or len(replicates) < 2:
        return Estimate(np.nan, note="undefined on the pooled patients")
    error = float(replicates.std(ddof=1))
    if error < 1e-12:
        if value == 0:
            return Estimate(0.0, 0.0, 0.0, 1.0, 0.0, note="no difference in any resample")
        return Estimate(float(value), note="the same difference in every resample: no variance, no test")
    quantile = stats.norm.ppf(1 - alpha / 2)
    return Estimate(
        value=float(value),
        ci_low=float(value - quantile * error),
        ci_high=float(value + quantile * error),
        p=float(2 * stats.norm.sf(abs(value) / error)),
        minimum_detectable=float((quantile + stats.norm.ppf(power)) * error),
    )


def percentile_interval(replicates: np.ndarray, alpha: float = 0.05) -> tuple[float, float]:
    """Return the percentile interval of bootstrap replicates (B,); NaN where there are none."""
    replicates = np.asarray(replicates, float)
    replicates = replicates[np.isfinite(replicates)]
    if len(replicates) == 0:
        return np.nan, np.nan
    low, high = np.quantile(replicates, [alpha / 2, 1 - alpha / 2])
    return float(low), float(high)


def holm(p: np.ndarray) -> np.ndarray:
    """Return p-values (m,) adjusted for the family that they form; NaN stays NaN and does not count.

    References
    ----------
    Holm, A simple sequentially rejective multiple test procedure (1979), Scand J Stat 6:65.
    """
    p = np.asarray(p, float)
    adjusted = np.full(p.shape, np.nan)
    tested = np.flatnonzero(np.isfinite(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p[order]), 1.0) if len(order) else []
    return adjusted


def verdict(delta: float, p_adjusted: float, *, alpha: float, larger_is_better: bool = True) -> str:
    """Return the words of a comparison: better, worse, not distinguishable, or not tested."""
    if not np.isfinite(p_adjusted):
        return "not tested"
    if p_adjusted >= alpha:
        return "not distinguishable"
    return "better" if (delta > 0) == larger_is_better else "worse"
