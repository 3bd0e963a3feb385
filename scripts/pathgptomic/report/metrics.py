"""Discrimination and accuracy of predicted survival, from lifelines and scikit-survival.

Each function raises `Undefined` with a reason where the metric has no value; nothing is replaced by 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from lifelines.utils import concordance_index
from sksurv.exceptions import NoComparablePairException
from sksurv.metrics import concordance_index_ipcw, cumulative_dynamic_auc, integrated_brier_score
from sksurv.nonparametric import CensoringDistributionEstimator, SurvivalFunctionEstimator
from sksurv.util import Surv

DAYS_PER_MONTH = 365.25 / 12
GRID = 50


class Undefined(Exception):
    """A metric has no value on these patients; the message says why."""


@dataclass(frozen=True)
class Window:
    """Where the time-dependent metrics of one test part look, the same for every model.

    Attributes
    ----------
    train, test
        Outcomes as scikit-survival wants them; follow-up in the test part ends just after tau, which changes no metric
        up to tau.
    tau
        Last day that counts: a quantile of the follow-up times in the training part, and before their last.
    days
        Grid from the first death in the test part to tau (or to the end of its follow-up), shape (50,); empty where
        there is no such span.
    """

    train: np.ndarray
    test: np.ndarray
    tau: float
    days: np.ndarray

    @classmethod
    def of(
        cls,
        *,
        train_time: np.ndarray,
        train_event: np.ndarray,
        test_time: np.ndarray,
        test_event: np.ndarray,
        follow_up_quantile: float,
    ) -> Window:
        """Return the window of a test part, given the training part that fixes tau."""
        # somebody in the training part is followed beyond tau, so that no weight up to tau is infinite
        earlier = train_time[train_time < train_time.max()]
        tau = float(min(np.quantile(train_time, follow_up_quantile), earlier.max(initial=0.0)))
        time = np.minimum(test_time.astype(float), np.nextafter(tau, np.inf))
        event = test_event & (test_time <= tau)
        last = min(tau, np.nextafter(time.max(), 0))
        first = time[event].min() if event.any() else np.inf
        days = np.linspace(first, last, GRID) if first < last else np.empty(0)
        return cls(Surv.from_arrays(train_event, train_time), Surv.from_arrays(event, time), tau, days)

    def checked_days(self) -> np.ndarray:
        """Return the grid, or raise `Undefined` where the test part has no death before its last day."""
        if len(self.days) == 0:
            raise Undefined("no death before the end of follow-up in the test part")
        return self.days

    def followed(self, days: np.ndarray) -> np.ndarray:
        """Return the probability of still being followed at `days`, Kaplan-Meier in the training part."""
        return CensoringDistributionEstimator().fit(self.train).predict_proba(np.asarray(days, float))

    def null_survival(self) -> np.ndarray:
        """Return what a model that knows nothing predicts: Kaplan-Meier of the training part, shape (n, t)."""
        curve = SurvivalFunctionEstimator().fit(self.train).predict_proba(self.checked_days())
        return np.broadcast_to(curve, (len(self.test), len(self.days)))


def harrell_c(time: np.ndarray, event: np.ndarray, risk: np.ndarray) -> float:
    """Return Harrell's C-index of `risk` (larger = earlier death), ties in risk counting a half.

    References
    ----------
    Harrell et al., Multivariable prognostic models (1996), Stat Med 15:361. Computed by lifelines.
    """
    try:
        return float(concordance_index(time, -np.asarray(risk, float), event))
    except ZeroDivisionError:
        raise Undefined("no comparable pair") from None


def uno_c(window: Window, risk: np.ndarray) -> float:
    """Return Uno's C-index up to tau, weighted by the follow-up in the training part.

    References
    ----------
    Uno et al., On the C-statistics for evaluating overall adequacy (2011), Stat Med 30:1105. By scikit-survival.
    """
    if not (window.test["event"] & (window.test["time"] < window.tau)).any():
        raise Undefined("no death before tau")
    try:
        return float(concordance_index_ipcw(window.train, window.test, risk, tau=window.tau)[0])
    except NoComparablePairException:
        raise Undefined("no comparable pair before tau") from None


def mean_auc(window: Window, risk: np.ndarray) -> float:
    """Return the cumulative/dynamic AUC averaged over the grid, weighted by the fall of the Kaplan-Meier curve.

    This is scikit-survival's mean (Lambert and Chevret 2014, Stat Methods Med Res 25:2088); the plain mean over days
    that other packages print is another number.
    """
    return float(cumulative_dynamic_auc(window.train, window.test, risk, window.checked_days())[1])


def auc_at(window: Window, risk: np.ndarray, days: np.ndarray) -> np.ndarray:
    """Return the cumulative/dynamic AUC at each of `days` (h,); NaN at days outside the grid's span, shape (h,)."""
    days = np.asarray(days, float)
    values = np.full(len(days), np.nan)
    if len(window.days):
        inside = (window.days[0] <= days) & (days <= window.days[-1])
        if inside.any():
            values[inside] = cumulative_dynamic_auc(window.train, window.test, risk, days[inside])[0]
    return values


def integrated_brier(window: Window, survival: np.ndarray) -> float:
    """Return the integrated Brier score of `survival` (n, t) at the grid; 0 is perfect.

    References
    ----------
    Graf et al., Assessment and comparison of prognostic classification schemes (1999), Stat Med 18:2529. By
    scikit-survival.
    """
    return float(integrated_brier_score(window.train, window.test, survival, window.checked_days()))


def within_c(time: np.ndarray, event: np.ndarray, risk: np.ndarray, level: np.ndarray) -> float:
    """Return Harrell's C over the pairs of patients of the same `level` only (n,), all levels together."""
    agreeing = total = 0.0
    for value in np.unique(level):
        rows = level == value
        pairs = comparable_pairs(time[rows], event[rows])
        if pairs:
            agreeing += pairs * harrell_c(time[rows], event[rows], risk[rows])
            total += pairs
    if total == 0:
        raise Undefined("no comparable pair within any level")
    return agreeing / total


def comparable_pairs(time: np.ndarray, event: np.ndarray) -> int:
    """Return the number of pairs that Harrell's C counts."""
    order = np.sort(time)
    later = len(time) - np.searchsorted(order, time[event], side="right")
    alive = np.sort(time[~event])
    tied = np.searchsorted(alive, time[event], side="right") - np.searchsorted(alive, time[event], side="left")
    return int(later.sum() + tied.sum())
