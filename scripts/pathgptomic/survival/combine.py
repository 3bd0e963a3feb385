"""Late fusion: the mean, equal or weighted, of several models' standardised risks.

Averaging unimodal risks is hard to beat (on TCGA glioma it beats the published learned fusion), so it stands in every
table. The equal average of several joint models is the same function.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
import pandas as pd

from pathgptomic.cohort.tables import read_patients, read_splits
from pathgptomic.survival.predictions import ROLES, read_predictions, write_predictions
from pathgptomic.survival.ridge_cox import ridge_cox

logger = logging.getLogger(__name__)

WEIGHTS = ("equal", "fitted")
# Ridge on the weights as a share of the number of deaths: members that say the same get the same weight
PENALTY = 0.1


def combine_models(*, members: Mapping[str, str], patients: str, splits: str, weights: str, out: str) -> None:
    """Combine models and write the predictions.tsv of the combination.

    In each fold a member's log-hazards, averaged over its seeds, are standardised by mean and standard deviation of its
    `inner` rows, the cross-fitted ones of the training part: its in-sample `train` rows would make a model that
    overfits look large. Test rows are not looked at.

    Parameters
    ----------
    members
        Model name -> predictions.tsv, two or more.
    patients, splits
        Tables of the cohort.
    weights
        ``equal``: mean of the standardised risks. ``fitted``: weights of a ridge Cox model on the standardised `inner`
        rows, none below 0; the combination's own `inner` rows use weights fitted on the other inner parts.
    out
        predictions.tsv of the combination.

    Raises
    ------
    ValueError
        If there are fewer than two members, `weights` is unknown, or members disagree on who is in which role.
    """
    if weights not in WEIGHTS:
        raise ValueError(f"weights is {weights!r}: use {' or '.join(WEIGHTS)}")
    if len(members) < 2:
        raise ValueError(f"a combination of {', '.join(members) or 'nothing'} needs two models or more: add members")
    table = read_patients(patients)
    inner = read_splits(splits).set_index(["fold", "patient_id"])["inner"]
    risks = join({name: read_predictions(path) for name, path in members.items()}, members)
    parts = []
    for fold, rows in risks.groupby(level="fold"):
        outcome = table.loc[rows.loc[(fold, "inner")].index, ["time_days", "event"]]
        part = inner.loc[[(fold, patient) for patient in outcome.index]].to_numpy()
        parts.append(combine_fold(rows.loc[fold], outcome, part, weights).assign(fold=fold))
    write_predictions(out, pd.concat(parts, ignore_index=True).assign(seed=1))


def join(tables: Mapping[str, pd.DataFrame], paths: Mapping[str, str]) -> pd.DataFrame:
    """Return log-hazards, a column a member, averaged over seeds; index fold, role, patient_id."""
    means = {name: each.groupby(["fold", "role", "patient_id"])["log_hazard"].mean() for name, each in tables.items()}
    first, *others = means
    for name in others:
        differ = means[first].index.symmetric_difference(means[name].index)
        if len(differ):
            fold, role, patient = differ[0]
            raise ValueError(
                f"{paths[first]} and {paths[name]} disagree on {len(differ)} rows, such as {patient} ({role}, fold "
                f"{fold}): train both models on the same patients and splits"
            )
    for fold, roles in means[first].index.to_frame(index=False).groupby("fold")["role"]:
        if set(roles) != set(ROLES):
            raise ValueError(
                f"{paths[first]} has no {min(set(ROLES) - set(roles))} rows in fold {fold}: train it again"
            )
    return pd.DataFrame(means).sort_index()


def combine_fold(risks: pd.DataFrame, outcome: pd.DataFrame, part: np.ndarray, weights: str) -> pd.DataFrame:
    """Return role, patient_id and log_hazard of one fold.

    Parameters
    ----------
    risks
        Columns members, index role and patient_id.
    outcome
        time_days and event of the patients of the `inner` rows, in their order.
    part
        Inner part of the same patients.
    weights
        ``equal`` or ``fitted``.
    """
    scale = risks.loc["inner"]
    spread = scale.std(ddof=0)
    # a member without a risk to tell (a penalised model may end with no coefficient) has nothing to add
    standard = ((risks - scale.mean()) / spread.where(spread > 1e-9)).fillna(0.0)
    result = standard.mean(axis=1)
    if weights == "fitted":
        cross = standard.loc["inner"].to_numpy()
        time, event = outcome["time_days"].to_numpy(float), outcome["event"].to_numpy(bool)
        result = standard @ fit_weights(cross, time, event)
        left_out = np.empty(len(cross))
        for each in np.unique(part):
            rest = part != each
            left_out[~rest] = cross[~rest] @ fit_weights(cross[rest], time[rest], event[rest])
        result.loc["inner"] = left_out
    return result.rename("log_hazard").reset_index()


def fit_weights(risks: np.ndarray, time: np.ndarray, event: np.ndarray) -> np.ndarray:
    """Return a weight >= 0 for each column of standardised `risks` [n, members]; equal ones if all would be 0."""
    fitted = ridge_cox(risks, time, event, max(PENALTY * event.sum(), 1e-3), non_negative=True)
    if not fitted.any():
        logger.warning("no member's left-out risk is better than chance: equal weights")
        return np.full(risks.shape[1], 1 / risks.shape[1])
    return fitted
