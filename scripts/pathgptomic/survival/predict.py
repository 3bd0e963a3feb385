"""The step predict_patients: what a trained model says of new patients, or a refusal in one sentence."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from pathgptomic.files import atomic
from pathgptomic.survival.bundle import GROUPS, PERCENTILES, Bundle
from pathgptomic.survival.design import raw_tables
from pathgptomic.survival.fit import predict
from pathgptomic.survival.inputs import CohortInputs
from pathgptomic.survival.new_patients import read_new_patients
from pathgptomic.survival.pictures import Pictures
from pathgptomic.survival.pooling import Instances
from pathgptomic.survival.stack import encoder_present, make_block

logger = logging.getLogger(__name__)

DAYS_A_MONTH = 365.25 / 12
RISK_GROUPS = ("low", "middle", "high")


def predict_patients(*, weights: str, facts: str, tables: Mapping[str, str], months: Sequence[float], out: str) -> None:
    """Predict new patients with a model bundle.

    Parameters
    ----------
    weights, facts
        model.safetensors and model.json.
    tables
        Modality -> file: ``clinical`` (csv or tsv, a column patient_id and the covariates of the training cohort),
        ``expression`` (h5ad as of a cohort, or a table on the training scale), ``cnv``, ``mutations`` and
        ``genomics:{adapter}`` (csv, tsv or parquet, patients x features), ``slides`` (bags.npy of packed features),
        ``rois`` (rois.npy of regions).
    months
        Times at which survival is wanted.
    out
        Table to write: patient_id, log_hazard, risk_percentile (share of the training patients at lower risk, per
        cent), risk_group (thirds of the training patients), survival_{month} for each month, lacking (modalities that
        the patient does not have, for which the model has learnt a stand-in).

    Raises
    ------
    ValueError
        If a table is missing, its features or its scale are not those of training, or a patient lacks a modality that
        every training patient had.
    """
    bundle = Bundle.load(weights, facts)
    inputs = read_new_patients(bundle, tables)
    log_hazard = log_hazards(bundle, inputs).mean(axis=0)
    survival = bundle.baseline.survival(log_hazard, np.array(months) * DAYS_A_MONTH)
    group = np.searchsorted(np.interp(GROUPS, PERCENTILES, bundle.percentiles), log_hazard, side="right")
    table = pd.DataFrame(
        {
            "patient_id": inputs.patients.index,
            "log_hazard": log_hazard,
            "risk_percentile": np.interp(log_hazard, bundle.percentiles, PERCENTILES),
            "risk_group": np.array(RISK_GROUPS)[group],
            **{f"survival_{month:g}": survival[:, i] for i, month in enumerate(months)},
            "lacking": [lacking(inputs, bundle, row) for row in range(len(inputs.patients))],
        }
    )
    with atomic(out) as temporary:
        table.to_csv(temporary, sep="\t", index=False, float_format="%.6g", lineterminator="\n")
    logger.info("%d patients predicted", len(table))


@torch.no_grad()
def log_hazards(bundle: Bundle, inputs: CohortInputs) -> np.ndarray:
    """Return what each network says of each patient, relative to its training patients: [K, patients]."""
    folds, inner = bundle.networks["fold"].tolist(), bundle.networks["inner"].tolist()
    numbers: dict[tuple[int, int], dict[str, np.ndarray]] = {}
    tables: dict[int, dict[str, pd.DataFrame]] = {}
    for at in zip(folds, inner, strict=True):
        if at[0] not in tables:
            tables[at[0]] = raw_tables(inputs, bundle.settings, at[0])
        if at not in numbers:
            numbers[at] = bundle.designs[at].transform(tables[at[0]], bundle.settings.encoders)
    present = {name: encoder_present(inputs, bundle.settings.encoders[name]) for name in bundle.shape.nullable}
    rows = [np.arange(len(inputs.patients))] * len(folds)
    device = torch.device("cpu")
    block = make_block(rows, [numbers[at] for at in zip(folds, inner, strict=True)], present, device)
    slides = regions = None
    if "slides" in bundle.scales:
        width = bundle.settings.network.attention
        slides = Instances(inputs.bags, inputs.patients.index, folds, width, device), bundle.scales["slides"]
    if "rois" in bundle.scales:
        own = bundle.settings.rois
        pictures = Pictures(inputs.rois, inputs.patients.index, crop=own.crop, most=own.batch, device=device)
        regions = pictures, bundle.scales["rois"]
    output = predict(bundle.network(), block, torch.autocast("cpu", enabled=False), slides, regions)
    return output.log_hazard.double().numpy() - bundle.networks["centre"].to_numpy()[:, None]


def lacking(inputs: CohortInputs, bundle: Bundle, row: int) -> str:
    """Return the modalities that a patient does not have."""
    return ",".join(name for name in bundle.settings.modalities if not inputs.present(name)[row])
