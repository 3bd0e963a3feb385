"""Calibration of predicted survival: D-calibration, calibration slope, predicted beside observed survival."""

from __future__ import annotations

import numpy as np
from scipy import stats

from pathgptomic.cohort.breslow import cox_slope
from pathgptomic.report.curves import kaplan_meier
from pathgptomic.report.metrics import Undefined


def d_calibration(survival: np.ndarray, event: np.ndarray, bins: int = 10) -> float:
    """Return the p-value of D-calibration; small = the predicted survival probabilities are not uniform.

    Each death falls into the bin of its predicted survival at its own time. A patient who left at predicted survival s
    would have died at some lower one, and is spread evenly over what lies below s; the test is therefore conservative
    where many left.

    Parameters
    ----------
    survival
        Predicted survival of each patient at the patient's own time, shape (n,).
    event
        True where the death was observed, shape (n,).

    References
    ----------
    Haider et al., Effective ways to build and evaluate individual survival distributions (2020), JMLR 21:85.
    """
    if len(survival) == 0:
        raise Undefined("no patients")
    expected = len(survival) / bins
    statistic = float(((d_calibration_counts(survival, event, bins) - expected) ** 2 / expected).sum())
    return float(stats.chi2.sf(statistic, bins - 1))


def d_calibration_counts(survival: np.ndarray, event: np.ndarray, bins: int = 10) -> np.ndarray:
    """Return how many patients fall into each bin of predicted survival, from 0 to 1, shape (bins,); sums to n."""
    survival = np.clip(np.asarray(survival, float), 0.0, 1.0)
    place = np.minimum((survival * bins).astype(int), bins - 1)
    counts = np.bincount(place[event], minlength=bins).astype(float)
    left = survival[~event]
    # the share of [0, s] that lies in each bin; somebody who left at s = 0 belongs to the lowest
    edges = np.arange(bins + 1) / bins
    covered = np.clip(left[:, None], edges[:-1], edges[1:]) - edges[:-1]
    safe = np.where(left > 0, left, 1.0)
    shares = np.where(left[:, None] > 0, covered / safe[:, None], np.eye(bins)[0])
    return counts + shares.sum(axis=0)


def calibration_slope(linear: np.ndarray, time: np.ndarray, event: np.ndarray) -> float:
    """Return the Cox slope of a recalibrated log-hazard: 1 = as it should be, under 1 = predictions too extreme.

    References
    ----------
    van Houwelingen (2000), Stat Med 19:3401.
    """
    if not event.any():
        raise Undefined("no death")
    if np.ptp(linear) < 1e-12:
        raise Undefined("all patients have the same prediction")
    return cox_slope(linear, time, event)


def calibration_rows(
    survival: np.ndarray, time: np.ndarray, event: np.ndarray, *, day: float, groups: int, alpha: float
) -> list[dict]:
    """Return predicted beside observed survival at `day`, by groups of predicted survival and for all (group 0).

    Parameters
    ----------
    survival
        Predicted survival of each patient at `day`, shape (n,).
    time, event
        Outcome, shape (n,).
    groups
        Number of groups of equal size, 1 = lowest predicted survival.
    """
    rank = np.argsort(np.argsort(survival, kind="stable"), kind="stable")
    group = 1 + rank * groups // len(survival)
    rows = []
    for number in range(groups + 1):
        member = group == number if number else np.ones(len(group), bool)
        if not member.any():
            continue
        observed, low, high, at_risk = kaplan_meier(time[member], event[member], alpha).at(day)
        rows.append(
            {
                "group": number,
                "n": int(member.sum()),
                "events": int((event & (time <= day))[member].sum()),
                "at_risk": at_risk,
                "predicted": float(survival[member].mean()),
                "observed": observed,
                "ci_low": low,
                "ci_high": high,
            }
        )
    return rows
