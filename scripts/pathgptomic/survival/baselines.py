"""Fit one baseline on every fold of a cohort and write what it predicts."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import pandas as pd
from tqdm import tqdm

from pathgptomic.survival.catalogue import BASELINES
from pathgptomic.survival.inputs import CohortInputs, Fold, read_inputs
from pathgptomic.survival.learners import LEARNERS, Problem, Scores
from pathgptomic.survival.predictions import write_predictions

logger = logging.getLogger(__name__)


def fit_baseline(
    *,
    name: str,
    paths: Mapping[str, str],
    covariates: Mapping[str, str | Mapping[str, Sequence[str]]],
    seed: int,
    out: str,
) -> None:
    """Fit a baseline and write its predictions.tsv.

    Parameters
    ----------
    name
        A key of ``catalogue.BASELINES``.
    paths
        ``patients``, ``splits`` and the table of each modality that the cohort has (see ``inputs.read_inputs``).
    covariates
        Covariates of the cohort file; empty if it names none.
    seed
        Seed of the forest; the other baselines have no chance in them.
    out
        predictions.tsv, with roles train (in-sample), inner (cross-fitted over the inner parts; out-of-bag for the
        forest) and test.

    Raises
    ------
    ValueError
        If the baseline is unknown, or the cohort has none of its modalities.
    """
    if name not in BASELINES:
        raise ValueError(f"there is no baseline {name!r}: use one of {', '.join(BASELINES)}")
    modalities = [each for each in BASELINES[name] if (covariates if each == "clinical" else each in paths)]
    if not modalities:
        raise ValueError(f"the baseline {name} needs {' or '.join(BASELINES[name])}, of which the cohort has nothing")
    inputs = read_inputs(paths, covariates, modalities)
    logger.info("%s on %s: %d patients, %d folds", name, ", ".join(modalities), len(inputs.patients), len(inputs.folds))
    write_predictions(out, predict(name, inputs, modalities, seed))


def predict(name: str, inputs: CohortInputs, modalities: Sequence[str], seed: int) -> pd.DataFrame:
    """Return the rows of predictions.tsv of one baseline."""
    folds = tqdm(inputs.folds, desc=name, unit="fold")
    return pd.concat(
        [rows(inputs, fold, LEARNERS[name](Problem(inputs, fold, modalities, seed))) for fold in folds],
        ignore_index=True,
    )


def rows(inputs: CohortInputs, fold: Fold, scores: Scores) -> pd.DataFrame:
    """Return a fold's scores as rows of predictions.tsv, relative to the training mean."""
    centre = scores.train.mean()
    parts = [("train", fold.train, scores.train), ("inner", fold.train, scores.inner), ("test", fold.test, scores.test)]
    ids = inputs.patients.index
    return pd.concat(
        pd.DataFrame(
            {"fold": fold.number, "seed": 1, "patient_id": ids[who], "role": role, "log_hazard": values - centre}
        )
        for role, who, values in parts
    )
