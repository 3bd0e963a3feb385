"""Kaplan-Meier curves with numbers at risk, and frozen risk groups: who is in which, and how their survival differs."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter
from lifelines.exceptions import ConvergenceError
from lifelines.statistics import multivariate_logrank_test
from sksurv.nonparametric import kaplan_meier_estimator


@dataclass(frozen=True)
class Curve:
    """A Kaplan-Meier curve: values just after each distinct time, all of shape (k,), the first row at day 0."""

    days: np.ndarray
    survival: np.ndarray
    ci_low: np.ndarray
    ci_high: np.ndarray
    at_risk: np.ndarray
    deaths: np.ndarray
    left: np.ndarray

    def at(self, day: float) -> tuple[float, float, float, int]:
        """Return survival, its interval and the number still at risk at `day`; NaN beyond follow-up."""
        row = int(np.searchsorted(self.days, day, side="right")) - 1
        if day > self.days[-1] and self.survival[-1] > 0:
            return np.nan, np.nan, np.nan, 0
        at_risk = int(self.at_risk[row + 1]) if row + 1 < len(self.days) else 0
        return float(self.survival[row]), float(self.ci_low[row]), float(self.ci_high[row]), at_risk

    def median(self) -> float:
        """Return the first day on which at most half are alive; NaN where it is not reached."""
        below = np.flatnonzero(self.survival <= 0.5)
        return float(self.days[below[0]]) if len(below) else np.nan


def kaplan_meier(time: np.ndarray, event: np.ndarray, alpha: float = 0.05) -> Curve:
    """Return the Kaplan-Meier curve with its log-log interval, by scikit-survival; time in days, shape (n,), n > 0."""
    time, event = np.asarray(time, float), np.asarray(event, bool)
    days, survival, (low, high) = kaplan_meier_estimator(event, time, conf_level=1 - alpha, conf_type="log-log")
    deaths = np.searchsorted(np.sort(time[event]), days, side="right")
    followed = np.searchsorted(np.sort(time), days, side="left")
    gone = np.searchsorted(np.sort(time), days, side="right")
    deaths, leaving = np.diff(deaths, prepend=0), gone - followed
    # the interval of a curve that stands at 1 or at 0 is that very value
    flat = (survival >= 1) | (survival <= 0)
    low, high = np.where(flat, survival, low), np.where(flat, survival, high)
    columns = [
        (0.0, days),
        (1.0, survival),
        (1.0, low),
        (1.0, high),
        (len(time), len(time) - followed),
        (0, deaths),
        (0, leaving - deaths),
    ]
    return Curve(*(np.concatenate([[first], rest]) for first, rest in columns))


def training_percentile(risk: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Return the share of the `training` risks (m,) that are below each of `risk` (n,), equal ones counting a half."""
    ordered = np.sort(training)
    below = np.searchsorted(ordered, risk, side="left")
    return (below + np.searchsorted(ordered, risk, side="right")) / (2 * len(ordered))


def group_of(percentile: np.ndarray, quantiles: tuple[float, ...]) -> np.ndarray:
    """Return the risk group, 1 = lowest, of each training percentile (n,)."""
    return 1 + np.searchsorted(np.sort(quantiles), percentile, side="left")


def group_labels(groups: int) -> list[str]:
    """Return the words for risk groups from lowest to highest."""
    known = {2: ["low", "high"], 3: ["low", "intermediate", "high"]}
    return known.get(groups, [f"group {number}" for number in range(1, groups + 1)])


def survival_rows(
    time: np.ndarray, event: np.ndarray, group: np.ndarray, labels: list[str], alpha: float
) -> list[dict]:
    """Return the rows of `survival_curves.tsv` for one model; a group without patients has none."""
    rows = []
    for number, label in enumerate(labels, start=1):
        member = group == number
        if not member.any():
            continue
        curve = kaplan_meier(time[member], event[member], alpha)
        table = {
            "group": number,
            "label": label,
            "time_days": curve.days,
            "survival": curve.survival,
            "ci_low": curve.ci_low,
            "ci_high": curve.ci_high,
            "at_risk": curve.at_risk,
            "deaths": curve.deaths,
            "left": curve.left,
        }
        rows += pd.DataFrame(table).to_dict("records")
    return rows


def logrank_p(time: np.ndarray, event: np.ndarray, group: np.ndarray) -> float:
    """Return the log-rank p-value over all groups; NaN with one group or no death."""
    if len(np.unique(group)) < 2 or not event.any():
        return np.nan
    return float(multivariate_logrank_test(time, group, event).p_value)


def hazard_ratios(
    time: np.ndarray, event: np.ndarray, group: np.ndarray, alpha: float = 0.05
) -> dict[int, tuple[float, float, float, float]]:
    """Return hazard ratio, its interval and p-value of each group against the lowest that has patients.

    By lifelines (Cox, Efron's ties). Groups without a death, or a reference without one, have no finite ratio and are
    left out.
    """
    present = [number for number in np.unique(group) if event[group == number].any()]
    lowest = np.unique(group)[0]
    if lowest not in present or len(present) < 2:
        return {}
    rows = np.isin(group, present)
    frame = pd.DataFrame({"time": time[rows], "event": event[rows]})
    for number in present[1:]:
        frame[f"g{number}"] = (group[rows] == number).astype(float)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = CoxPHFitter(alpha=alpha).fit(frame, "time", "event")
    except ConvergenceError:
        return {}
    low, high = fit.confidence_intervals_.to_numpy().T
    return {
        int(number): (
            float(np.exp(fit.params_.iloc[k])),
            float(np.exp(low[k])),
            float(np.exp(high[k])),
            float(fit.summary["p"].iloc[k]),
        )
        for k, number in enumerate(present[1:])
    }
