"""Are deaths and survivors swapped? Evidence for and against, and a rule that stops only on strong evidence.

A flag that is flipped turns the hazard of death into the hazard of leaving follow-up alive. What is known to shorten
life (age, a higher grade or stage) predicts death, and has little to do with the end of follow-up. So an index of such
covariates is tested twice, against the events as given and against their complement: under the right polarity the first
statistic is large, under the flipped one the second is. A second column with the vital status settles the matter by
itself. Which group was followed for longer is reported too, but decides nothing: survivors recruited late have short
follow-up, and in TCGA-LGG, where nothing is wrong, the dead were followed for longer than the living (median 758
against 651 days).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pathgptomic.cohort.source import Finding

CHECK = "event polarity"
# One-sided 0.001 for the flipped event to be taken seriously, and a distance to the event as given that keeps a cohort
# from being stopped where the old or the very ill only leave follow-up early.
DECISIVE, DISTANCE = 3.1, 2.0


def cox_score_test(values: np.ndarray, time: np.ndarray, event: np.ndarray) -> float:
    """Return the z statistic of the score test of a one-covariate Cox model at no effect (the log-rank test).

    Parameters
    ----------
    values
        Covariate, shape (n,), no missing values.
    time
        Follow-up, shape (n,).
    event
        True where the event was observed, shape (n,).

    Returns
    -------
    float
        Positive where larger values go with earlier events; 0 where the data hold no information.

    References
    ----------
    Cox (1972), J R Stat Soc B 34:187, section 5; ties as in Breslow (1974).
    """
    order = np.argsort(-time, kind="stable")
    x, time, event = values[order].astype(np.float64), time[order], event[order].astype(bool)
    x = x - x.mean()
    last = np.searchsorted(-time, -time, side="right") - 1  # last row that is still at risk at this row's time
    at_risk = last + 1
    mean = np.cumsum(x)[last] / at_risk
    variance = np.cumsum(x * x)[last] / at_risk - mean**2
    information = variance[event].sum()
    return float((x - mean)[event].sum() / np.sqrt(information)) if information > 1e-12 else 0.0


def check_polarity(
    clinical: pd.DataFrame, covariates: Mapping[str, Any], adverse: Sequence[str] | None, path: str
) -> Finding:
    """Judge the polarity of the event.

    Parameters
    ----------
    clinical
        `time_days` > 0, `event` (no missing values), covariates as text, and `dead` where there is a second witness.
    covariates
        Their kinds, as in the cohort file.
    adverse
        Covariates known to shorten life; None takes `age` and the ordinal ones.
    path
        The clinical table, for messages.
    """
    time, event = clinical["time_days"].to_numpy(float), clinical["event"].to_numpy(bool)
    evidence = {"deaths": int(event.sum()), "patients": len(event), **_follow_up(time, event)}
    if "dead" in clinical and clinical["dead"].notna().any():
        return _by_vital_status(clinical, evidence, path)
    if event.all() or not event.any():
        detail = (
            f"{path}: {'all' if event.all() else 'none'} of {len(event)} patients died; check the words for the event."
        )
        return Finding(CHECK, "stop", detail, evidence)
    columns = {name: _standardised(clinical[name], covariates[name]) for name in _adverse(covariates, adverse)}
    columns = {name: values for name, values in columns.items() if values.any()}
    times = (
        f"median follow-up {evidence['median days of the dead']:.0f} days of the {evidence['deaths']} counted as dead "
        f"and {evidence['median days of the living']:.0f} of the others"
    )
    if not columns:
        detail = f"{path}: no covariate known to shorten life is there to test the event by; {times}."
        return Finding(CHECK, "warn", detail, evidence)
    index = np.mean(list(columns.values()), axis=0)
    given, flipped = cox_score_test(index, time, event), cox_score_test(index, time, ~event)
    evidence |= {"z as given": round(given, 2), "z flipped": round(flipped, 2)}
    evidence["z of each covariate, as given and flipped"] = {
        name: [round(cox_score_test(values, time, flag), 2) for flag in (event, ~event)]
        for name, values in columns.items()
    }
    words = " and ".join(columns) if len(columns) < 3 else f"{', '.join(columns)} together"
    said = f"by {words} the event is predicted with z = {given:.1f} as given and {flipped:.1f} if flipped; {times}"
    if flipped > DECISIVE and flipped - given > DISTANCE:
        detail = (
            f"{path}: the event looks flipped ({said}); swap `observed` and `not_observed` of the event, or set "
            "`audit.event_polarity: warn`."
        )
        return Finding(CHECK, "stop", detail, evidence)
    if given > DECISIVE and given - flipped > DISTANCE:
        return Finding(CHECK, "pass", f"The event is the right way round: {said}.", evidence)
    return Finding(CHECK, "warn", f"{path}: the polarity of the event cannot be settled: {said}.", evidence)


def _adverse(covariates: Mapping[str, Any], named: Sequence[str] | None) -> list[str]:
    if named is not None:
        return [name for name in named if name in covariates]
    return [name for name, kind in covariates.items() if name == "age" or isinstance(kind, Mapping)]


def _standardised(values: pd.Series, kind: Any) -> np.ndarray:
    """Return a covariate as numbers of mean 0 and sd 1, larger = worse, 0 where missing; all 0 without information."""
    if isinstance(kind, Mapping):
        numbers = values.map({level: rank for rank, level in enumerate(kind["ordinal"])})
    else:
        numbers = pd.to_numeric(values, errors="coerce")
    numbers = numbers.astype(float)
    spread = numbers.std()
    return ((numbers - numbers.mean()) / (spread if spread > 0 else np.inf)).fillna(0.0).to_numpy()


def _follow_up(time: np.ndarray, event: np.ndarray) -> dict[str, float]:
    """Return how long both groups were followed, and the probability that a dead patient has the longer time."""
    if event.all() or not event.any():
        return {}
    dead, living = event.sum(), (~event).sum()
    longer = pd.Series(time).rank()[event].sum() - dead * (dead + 1) / 2  # Mann and Whitney's U
    return {
        "median days of the dead": float(np.median(time[event])),
        "median days of the living": float(np.median(time[~event])),
        "share of pairs with the dead followed longer": round(float(longer / (dead * living)), 3),
    }


def _by_vital_status(clinical: pd.DataFrame, evidence: dict[str, Any], path: str) -> Finding:
    """Compare the event with the second witness."""
    known = clinical["dead"].notna()
    differ = clinical.index[known & (clinical["event"].astype("boolean") != clinical["dead"])]
    evidence |= {"known vital status": int(known.sum()), "differing": len(differ), "examples": list(differ[:5])}
    if differ.empty:
        return Finding(CHECK, "pass", f"Event and vital status agree for all {known.sum()} patients.", evidence)
    said = f"{path}: event and vital status differ for {len(differ)} of {known.sum()} patients, such as {differ[0]}"
    if len(differ) > known.sum() / 2:
        return Finding(CHECK, "stop", f"{said}: the event is flipped; swap `observed` and `not_observed`.", evidence)
    return Finding(CHECK, "warn", f"{said}; the event counts.", evidence)
