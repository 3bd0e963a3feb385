import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from sksurv.nonparametric import kaplan_meier_estimator

from pathgptomic.cohort.tables import read_patients
from pathgptomic.survival.bundle import Bundle
from pathgptomic.survival.inputs import read_inputs
from pathgptomic.survival.predict import log_hazards
from pathgptomic.survival.predictions import read_predictions
from tests.unit.survival.synthetic import COVARIATES, MODALITIES, OMICS, make_cohort, only
from tests.unit.survival.test_train import run, settings

MODELS = {
    "ensemble": settings(balance={"strategy": "mmpareto"}),
    "full": settings(predictor="full", fusion="kronecker", features={"expression": {"pca": 3, "variance": 5}}),
    "attention": settings(["slides", "clinical"], pooling="attention"),
    "gaps": settings(network={"modality_dropout": 0.3}),
    "per-fold": settings(["slides", "cnv"]),
}


@pytest.fixture(scope="module", params=MODELS)
def trained(request, tmp_path_factory, cohort, masked_cohort):
    """Return the settings of a trained model, its cohort and its files."""
    given, paths = MODELS[request.param], cohort
    if request.param == "gaps":
        paths = masked_cohort
    if request.param == "per-fold":
        paths = make_cohort(tmp_path_factory.mktemp("per-fold-cohort"), per_fold_bags=True)
    return given, paths, run(paths, tmp_path_factory.mktemp(request.param), given, seeds=2)


def test_a_loaded_bundle_says_what_training_said(trained):
    given, paths, files = trained
    bundle = Bundle.load(files["weights"], files["facts"])
    inputs = read_inputs(only(paths, given["modalities"]), COVARIATES, given["modalities"])
    found = log_hazards(bundle, inputs)  # [K, patients]
    written = read_predictions(files["predictions"]).set_index(["fold", "seed", "role", "patient_id"])
    written = written["log_hazard"].sort_index()
    networks = bundle.networks
    for (fold, seed), rows in networks.groupby(["fold", "seed"]):
        tested = written[fold, seed, "test"]
        at = inputs.patients.index.get_indexer(tested.index)
        np.testing.assert_allclose(found[rows.index][:, at].mean(axis=0), tested, rtol=1e-5, atol=1e-6)
        whole = rows.index[rows["inner"] == 0]
        seen = written[fold, seed, "train"]
        at = inputs.patients.index.get_indexer(seen.index)
        np.testing.assert_allclose(found[whole][0, at], seen, rtol=1e-5, atol=1e-6)
    per_fold = 1 if given.get("predictor") == "full" else 4
    assert len(networks) == 3 * 2 * per_fold


def test_saving_a_loaded_bundle_gives_the_same_files(trained, tmp_path):
    _, _, files = trained
    Bundle.load(files["weights"], files["facts"]).save(tmp_path / "w.safetensors", tmp_path / "f.json")
    facts = [json.loads(Path(path).read_text()) for path in (files["facts"], tmp_path / "f.json")]
    assert facts[0] == facts[1]
    stored = []
    for path in (files["weights"], tmp_path / "w.safetensors"):
        with safe_open(path, framework="pt") as each:
            stored.append({name: each.get_tensor(name) for name in each.keys()})  # noqa: SIM118
    assert stored[0].keys() == stored[1].keys()
    assert all(torch.equal(stored[0][name], stored[1][name]) for name in stored[0])


def test_baseline_hazard_and_cut_offs_rest_on_cross_fitted_rows(trained):
    _, paths, files = trained
    facts = json.loads(Path(files["facts"]).read_text())
    rows = read_predictions(files["predictions"])
    inner = rows[rows["role"] == "inner"].groupby("patient_id")["log_hazard"].mean()
    np.testing.assert_allclose(facts["risk_cut_offs"], np.percentile(inner, [100 / 3, 200 / 3]), atol=0.02)
    np.testing.assert_allclose(facts["percentiles"], np.percentile(inner, range(101)), rtol=1e-5, atol=1e-6)
    bundle = Bundle.load(files["weights"], files["facts"])
    patients = read_patients(paths["patients"])
    days = np.array([500.0, 1500.0])
    predicted = bundle.baseline.survival(inner.to_numpy(), days).mean(axis=0)
    at, alive = kaplan_meier_estimator(patients["event"].astype(bool), patients["time_days"])
    observed = alive[np.searchsorted(at, days, side="right") - 1]
    np.testing.assert_allclose(predicted, observed, atol=0.06)  # in the large


def test_facts_say_where_the_model_comes_from(trained):
    given, _, files = trained
    facts = json.loads(Path(files["facts"]).read_text())
    assert facts["seed"] == 17
    assert set(facts["data"]) == set(only(MODALITY_PATHS, given["modalities"]))
    assert all(len(each) == 64 for each in facts["data"].values())
    assert facts["training"]["patients"] == 90
    assert facts["versions"]["torch"] == torch.__version__
    assert facts["modalities"] == given["modalities"]


MODALITY_PATHS = dict.fromkeys(("patients", "splits", "expression", "cnv", "mutations", "slides"), "")


def test_files_of_two_models_are_not_mixed(cohort, tmp_path):
    first = run(cohort, tmp_path / "a", settings(OMICS))
    second = run(cohort, tmp_path / "b", settings(OMICS, predictor="full"))
    with pytest.raises(ValueError, match="are not of one model"):
        Bundle.load(first["weights"], second["facts"])


def test_a_bundle_of_another_format_is_refused(cohort, tmp_path):
    files = run(cohort, tmp_path, settings(["cnv"]))
    other = tmp_path / "other.json"
    shutil.copy(files["facts"], other)
    other.write_text(other.read_text().replace('"format": 1', '"format": 99'))
    with pytest.raises(ValueError, match="has the format 99, this version reads 1"):
        Bundle.load(files["weights"], other)


def test_every_modality_is_described(cohort, tmp_path):
    files = run(cohort, tmp_path, settings(MODALITIES))
    features = json.loads(Path(files["facts"]).read_text())["features"]
    assert features["slides"] == ["f0", "f1", "f2"]
    assert features["cnv"] == list(pd.read_parquet(cohort["cnv"]).columns)
