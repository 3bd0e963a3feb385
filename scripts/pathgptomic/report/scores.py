"""What the metrics of one model look at: risks and predicted survival of one test part, or of all of them pooled.

Survival probabilities of every model are made in the same way: slope and Breslow baseline fitted on the cross-fitted
(`inner`) risks of the training part, applied to the test risks of the same fold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from pathgptomic.cohort.breslow import Breslow, fit_breslow
from pathgptomic.report.curves import training_percentile
from pathgptomic.report.predictions import Cohort, Risks

POOLED = "pooled"
LEAST_TEST_PART = 20  # patients; percentiles within fewer say too little


@dataclass(frozen=True)
class FoldScores:
    """One model in one test part.

    Attributes
    ----------
    rows
        Positions of the test patients in the cohort, ascending, shape (n,).
    risk
        Their log-hazards, shape (n,).
    percentile
        Share of the cross-fitted training risks below them, NaN where the model has none, shape (n,).
    baseline
        Slope and baseline of the training part, None where the model has no cross-fitted risks.
    """

    rows: np.ndarray
    risk: np.ndarray
    percentile: np.ndarray
    baseline: Breslow | None

    @property
    def has_survival(self) -> bool:
        """Whether there are survival probabilities."""
        return self.baseline is not None

    def linear(self) -> np.ndarray:
        """Return the recalibrated log-hazards, shape (n,)."""
        return self.baseline.slope * (self.risk - self.baseline.centre)

    def survival(self, days: np.ndarray) -> np.ndarray:
        """Return the predicted survival at `days`, shape (n, t)."""
        return self.baseline.survival(self.risk, days)

    def own_survival(self, time: np.ndarray) -> np.ndarray:
        """Return each patient's predicted survival at that patient's `time` (n,), shape (n,)."""
        return np.exp(-self.baseline.relative_risk(self.risk) * self.baseline.hazard_at(time))


def fold_scores(cohort: Cohort, risks: Risks, fold: int) -> FoldScores:
    """Return what a model's metrics in the fold at position `fold` look at."""
    rows = np.flatnonzero(cohort.test[fold])
    inner = np.flatnonzero(np.isfinite(risks.inner[fold]))
    risk, training = risks.test[fold, rows], risks.inner[fold, inner]
    if len(inner) == 0:
        return FoldScores(rows, risk, np.full(len(rows), np.nan), None)
    baseline = fit_breslow(training, cohort.time[inner], cohort.event[inner])
    return FoldScores(rows, risk, training_percentile(risk, training), baseline)


@dataclass(frozen=True)
class PooledScores:
    """One model in all its test parts, patient by patient: means over the folds in which a patient was tested.

    `risk` is the mean of the percentiles within each test part, since log-hazards of different folds have no common
    scale; where a test part is too small for that (leave-one-site-out), it is the mean training percentile.
    `percentile`, predicted survival and recalibrated log-hazard are plain means.
    """

    parts: Sequence[FoldScores]
    rows: np.ndarray
    risk: np.ndarray
    percentile: np.ndarray
    tested: np.ndarray

    @classmethod
    def of(cls, parts: Sequence[FoldScores], patients: int) -> PooledScores:
        """Return the pooled scores of a cohort of so many patients."""
        tested = np.zeros(patients, int)
        for part in parts:
            tested[part.rows] += 1
        rows = np.flatnonzero(tested)
        pooled = cls(parts, rows, np.empty(0), np.empty(0), tested[rows])
        percentile = pooled._mean([part.percentile for part in parts])
        risk = pooled._mean([(rankdata(part.risk) - 0.5) / len(part.risk) for part in parts])
        if pooled.has_survival and min(len(part.rows) for part in parts) < LEAST_TEST_PART:
            risk = percentile
        # rounded, since means of equal percentiles must be equal to the last bit to count as ties
        return cls(parts, rows, np.round(risk, 12), percentile, tested[rows])

    @property
    def has_survival(self) -> bool:
        """Whether there are survival probabilities in every fold."""
        return all(part.has_survival for part in self.parts)

    def linear(self) -> np.ndarray:
        """Return the recalibrated log-hazards, shape (n,)."""
        return self._mean([part.linear() for part in self.parts])

    def survival(self, days: np.ndarray) -> np.ndarray:
        """Return the predicted survival at `days`, shape (n, t)."""
        return self._mean([part.survival(days) for part in self.parts])

    def own_survival(self, time: np.ndarray) -> np.ndarray:
        """Return each patient's predicted survival at that patient's `time` (n,), shape (n,)."""
        places = [np.searchsorted(self.rows, part.rows) for part in self.parts]
        return self._mean([part.own_survival(time[place]) for part, place in zip(self.parts, places, strict=True)])

    def _mean(self, values: list[np.ndarray]) -> np.ndarray:
        """Return the mean over the folds of values given for the test patients of each fold."""
        total = np.zeros((len(self.rows), *values[0].shape[1:]))
        for part, value in zip(self.parts, values, strict=True):
            total[np.searchsorted(self.rows, part.rows)] += value
        return total / self.tested.reshape(-1, *[1] * (total.ndim - 1))
