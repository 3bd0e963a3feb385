"""The step weigh_instances: how much each instance of a slide counted, for the heatmaps."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from pathgptomic.cohort.bags import Bags
from pathgptomic.cohort.tables import read_splits
from pathgptomic.files import atomic
from pathgptomic.survival.bundle import Bundle
from pathgptomic.survival.pooling import Instances
from pathgptomic.survival.predictions import read_predictions

logger = logging.getLogger(__name__)


def weigh_instances(*, weights: str, facts: str, predictions: str, splits: str, bags: str, out: str) -> None:
    """Write the attention that networks which had not seen a patient gave to the patient's instances.

    Parameters
    ----------
    weights, facts
        Bundle of a model that pools slides by attention.
    predictions
        Its predictions.tsv; patients are written from the highest to the lowest risk on test rows.
    splits
        Folds of the cohort.
    bags
        bags.npy, the same in every fold.
    out
        Table (parquet): patient_id, row (of bags.npy), weight, which sums to 1 over a patient's rows: the mean over the
        networks of all folds that test the patient.

    Raises
    ------
    ValueError
        If the model does not pool by attention, or the instances differ between folds.
    """
    bundle = Bundle.load(weights, facts)
    if "slides" not in bundle.scales:
        raise ValueError(f"{facts} is a model that pools by {bundle.settings.pooling}: only attention weighs instances")
    stored = Bags.load(Path(bags).parent)
    if stored.per_fold:
        raise ValueError(
            f"{bags} holds other instances in every fold, which have no one place on a slide to be drawn at"
        )
    tested = read_splits(splits).query("role == 'test'").groupby("patient_id")["fold"].agg(set)
    risk = read_predictions(predictions).query("role == 'test'").groupby("patient_id")["log_hazard"].mean()
    known = set(stored.patients(0))
    patients = [each for each in risk.sort_values(ascending=False, kind="stable").index if each in known]
    by_patient = attention(bundle, stored, patients, [tested[each] for each in patients])
    parts = [
        pd.DataFrame({"patient_id": patient, "row": np.arange(*stored.for_fold(0, [patient])[0]), "weight": values})
        for patient, values in by_patient.items()
    ]
    with atomic(out) as temporary:
        pd.concat(parts, ignore_index=True).to_parquet(temporary)
    logger.info("attention of %d patients", len(patients))


@torch.no_grad()
def attention(bundle: Bundle, bags: Bags, patients: list[str], folds: list[set[int]]) -> dict[str, np.ndarray]:
    """Return {patient: weights of the instances}, mean over the networks of the patient's `folds`, in their order."""
    of_network = bundle.networks["fold"].to_numpy()
    width = bundle.settings.network.attention
    instances = Instances(bags, patients, of_network.tolist(), width, torch.device("cpu"))
    pool = bundle.network().pool
    found = {}
    for part in instances.parts():
        given = pool.attention(part, bundle.scales["slides"]).numpy()  # [K, b, m]
        for i, at in enumerate(part.patients):
            unseen = np.isin(of_network, list(folds[at]))
            found[patients[at]] = given[unseen, i][:, part.valid[0, i].numpy()].mean(axis=0)
    return {patient: found[patient] for patient in patients}
