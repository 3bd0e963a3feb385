"""Classical baselines: against other people's solvers, on a planted signal, without a leak, and on the real cohorts."""

import dataclasses
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from lifelines import CoxPHFitter
from scipy.optimize import minimize
from statsmodels.duration.hazard_regression import PHReg

from pathgptomic.cohort.tables import HAS, write_expression, write_features, write_patients, write_splits
from pathgptomic.survival import learners
from pathgptomic.survival.baselines import fit_baseline, predict
from pathgptomic.survival.catalogue import BASELINES
from pathgptomic.survival.cox import cox_loss
from pathgptomic.survival.inputs import CohortInputs, make_folds
from pathgptomic.survival.learners import LEARNERS, PCA_COUNTS, Problem
from pathgptomic.survival.predictions import read_predictions
from pathgptomic.survival.ridge_cox import log_likelihood, ridge_cox
from pathgptomic.survival.risk_sets import RiskSets

COVARIATES = {"age": "numeric", "grade": {"ordinal": ["G2", "G3", "G4"]}}
N = 160


def tied(n: int, seed: int, p: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    time = np.ceil(rng.exponential(20 * np.exp(-x[:, 0])))
    return x, time, rng.random(n) < 0.6


def concordance(table: pd.DataFrame, inputs: CohortInputs, role: str) -> float:
    from sksurv.metrics import concordance_index_censored

    values = []
    for _, rows in table[table["role"] == role].groupby("fold"):
        who = inputs.patients.loc[rows["patient_id"]]
        values.append(concordance_index_censored(who["event"], who["time_days"], rows["log_hazard"])[0])
    return float(np.mean(values))


@pytest.fixture(scope="module")
def inputs() -> CohortInputs:
    """Return 160 patients whose hazard depends on age, on ten genes and on one mutation; two folds."""
    rng = np.random.default_rng(1)
    ids = pd.Index([f"P{i:03d}" for i in range(N)], name="patient_id")
    age = rng.normal(60, 10, N)
    expression = pd.DataFrame(rng.normal(size=(N, 60)), ids, [f"gene{i}" for i in range(60)], dtype=np.float32)
    expression.iloc[:, :10] += rng.normal(size=(N, 1))  # a programme of ten genes
    mutations = pd.DataFrame(rng.random((N, 8)) < 0.3, ids, [f"mut{i}" for i in range(8)]).astype(np.float32)
    cnv = pd.DataFrame(rng.integers(-2, 3, (N, 12)), ids, [f"cnv{i}" for i in range(12)]).astype(np.float32)
    log_hazard = (age - 60) / 10 + expression.iloc[:, :10].mean(axis=1).to_numpy() + 1.5 * mutations["mut0"].to_numpy()
    time, stop = rng.exponential(900 * np.exp(-log_hazard)), rng.uniform(200, 3000, N)
    patients = pd.DataFrame(
        {
            "time_days": np.ceil(np.minimum(time, stop)),
            "event": time <= stop,
            "site": "s",
            "stratum": "",
            "age": age,
            "grade": rng.choice(["G2", "G3", "G4"], N),
            **dict.fromkeys(HAS, True),
        },
        index=ids,
    )
    splits = []
    for fold in (1, 2):
        role = np.where(np.arange(N) % 5 == fold, "test", "train")
        part = np.where(role == "train", np.arange(N) // 5 % 4 + 1, 0)
        splits.append(pd.DataFrame({"fold": fold, "patient_id": ids, "role": role, "inner": part}))
    return CohortInputs(
        patients=patients,
        covariates=COVARIATES,
        features={"expression": expression, "cnv": cnv, "mutations": mutations},
        linear=frozenset(),
        bags=None,
        folds=make_folds(ids, pd.concat(splits)),
    )


@pytest.fixture
def few_trees(monkeypatch):
    monkeypatch.setattr(learners, "TREES", 40)


def test_ridge_cox_is_lifelines():
    x, time, event = tied(150, 0)
    table = pd.DataFrame(x, columns=list("abc")).assign(time=time, event=event)
    reference = CoxPHFitter(penalizer=0.01).fit(table, "time", "event").params_.to_numpy()
    # lifelines divides by the sample standard deviation before it penalises, and stops at steps of about 1e-5
    ours = ridge_cox(x, time, event, 0.01 * 150 * x.std(axis=0, ddof=1) ** 2)
    np.testing.assert_allclose(ours, reference, atol=2e-5)


def test_unpenalised_cox_is_statsmodels():
    x, time, event = tied(120, 1)
    reference = PHReg(time, x, status=event.astype(int), ties="efron").fit().params
    np.testing.assert_allclose(ridge_cox(x, time, event, 0.0), reference, rtol=1e-6)


def test_non_negative_ridge_is_a_bounded_optimum():
    x, time, event = tied(100, 2, p=4)
    x[:, 2] *= -1  # a coefficient that wants to be negative

    def loss(beta):
        return -log_likelihood((x @ beta)[:, None], time, event)[0] + 2.0 * (beta**2).sum()

    beta = ridge_cox(x, time, event, 4.0, non_negative=True)
    reference = minimize(loss, np.full(4, 0.1), bounds=[(0, None)] * 4, options={"ftol": 1e-14, "gtol": 1e-10}).x
    assert (beta == 0).any()  # a bound is active, or this would test nothing
    np.testing.assert_allclose(beta, reference, atol=1e-4)


def test_log_likelihood_is_the_training_loss():
    _, time, event = tied(80, 3)
    h = np.random.default_rng(4).normal(0, 2, (80, 3))
    sets = RiskSets.build(np.tile(time, (3, 1)), np.tile(event, (3, 1)))
    loss = cox_loss(torch.from_numpy(h.T.copy()), sets, reduction="sum")
    np.testing.assert_allclose(log_likelihood(h, time, event), -loss.numpy(), rtol=1e-12)


def test_no_deaths_no_coefficients():
    x, time, _ = tied(20, 5)
    np.testing.assert_array_equal(ridge_cox(x, time, np.zeros(20, bool), 1.0), np.zeros(3))


def test_block_cox_in_patient_space_is_ridge_on_scaled_columns(inputs):
    fold = inputs.folds[0]
    problem = Problem(inputs, fold, BASELINES["block-cox"], 1)
    blocks = [problem.clinical(fold.train, smooth=True)]
    penalties = [np.full(blocks[0].shape[1], 0.01 * len(fold.train))]
    for name, variance in learners.BLOCK_VARIANCE.items():
        blocks.append(problem.features(name, fold.train))
        penalties.append(np.full(blocks[-1].shape[1], blocks[-1].shape[1] / variance))
    x = np.concatenate(blocks, axis=1)
    direct = x @ ridge_cox(x[fold.train], *problem.outcome(fold.train), np.concatenate(penalties))
    scores = LEARNERS["block-cox"](problem)
    difference = scores.test - direct[fold.test]  # known up to a constant
    np.testing.assert_allclose(difference, difference.mean(), atol=1e-5)


@pytest.mark.parametrize("name", sorted(BASELINES))
@pytest.mark.usefixtures("few_trees")
def test_every_patient_is_predicted_in_every_role(inputs, name):
    table = predict(name, inputs, BASELINES[name], seed=1)
    for fold in inputs.folds:
        rows = table[table["fold"] == fold.number]
        for role, who in (("train", fold.train), ("inner", fold.train), ("test", fold.test)):
            assert list(rows.loc[rows["role"] == role, "patient_id"]) == list(inputs.patients.index[who])
    assert np.isfinite(table["log_hazard"]).all()
    if name != "elastic-net-cnv":  # copy number carries nothing in this cohort
        assert concordance(table, inputs, "test") > 0.55
        assert concordance(table, inputs, "inner") > 0.55
    again = predict(name, inputs, BASELINES[name], seed=1)
    pd.testing.assert_frame_equal(table, again)


def test_joint_models_use_what_single_tables_lack(inputs):
    c = {
        name: concordance(predict(name, inputs, BASELINES[name], 1), inputs, "test")
        for name in ("clinical-cox", "elastic-net-omics", "block-cox")
    }
    assert c["block-cox"] > max(c["clinical-cox"], c["elastic-net-omics"]) + 0.02


def disturb(inputs: CohortInputs, rows: np.ndarray) -> CohortInputs:
    """Return the inputs with outcome, covariates and features of `rows` replaced by nonsense."""
    patients = inputs.patients.copy()
    patients.iloc[rows, patients.columns.get_loc("time_days")] = 1.0
    patients.iloc[rows, patients.columns.get_loc("event")] = ~inputs.event[rows]
    patients.iloc[rows, patients.columns.get_loc("age")] = 999.0
    features = {name: table.copy() for name, table in inputs.features.items()}
    for table in features.values():
        table.iloc[rows] = 1e4
    return dataclasses.replace(inputs, patients=patients, features=features)


@pytest.mark.parametrize("name", sorted(BASELINES))
@pytest.mark.usefixtures("few_trees")
def test_other_test_patients_change_nothing(inputs, name):
    fold = inputs.folds[0]
    before = LEARNERS[name](Problem(inputs, fold, BASELINES[name], 1))
    after = LEARNERS[name](Problem(disturb(inputs, fold.test[1:]), fold, BASELINES[name], 1))
    np.testing.assert_allclose(after.train, before.train, atol=1e-9)
    np.testing.assert_allclose(after.inner, before.inner, atol=1e-9)
    assert after.test[0] == pytest.approx(before.test[0], abs=1e-9)


@pytest.mark.parametrize("name", ["clinical-cox", "clinical-spline-cox", "block-cox"])
def test_inner_scores_do_not_know_their_own_part(inputs, name):
    fold = inputs.folds[0]
    part = np.flatnonzero(fold.inner == 2)
    before = LEARNERS[name](Problem(inputs, fold, BASELINES[name], 1))
    after = LEARNERS[name](Problem(disturb(inputs, fold.train[part[1:]]), fold, BASELINES[name], 1))
    assert after.inner[part[0]] == pytest.approx(before.inner[part[0]], abs=1e-9)
    assert np.abs(after.train - before.train).max() > 0.01


def test_elastic_net_on_shuffled_outcomes_promises_nothing(inputs):
    order = np.random.default_rng(6).permutation(N)
    patients = inputs.patients.copy()
    patients[["time_days", "event"]] = patients[["time_days", "event"]].to_numpy()[order]
    patients = patients.astype({"time_days": float, "event": bool})
    shuffled = dataclasses.replace(inputs, patients=patients)
    table = predict("elastic-net-omics", shuffled, BASELINES["elastic-net-omics"], 1)
    assert concordance(table, shuffled, "inner") < 0.62


def test_components_and_their_number_are_those_of_a_plain_calculation(inputs):
    fold = inputs.folds[0]
    problem = Problem(inputs, fold, ["expression"], 1)
    scores = LEARNERS["pca-cox-expression"](problem)
    x = problem.features("expression", fold.train)
    x = x - x[fold.train].mean(axis=0)
    u, s, v = np.linalg.svd(x[fold.train], full_matrices=False)
    same = []
    for count in PCA_COUNTS:
        z = x @ v[:count].T
        z = z / z[fold.train].std(axis=0)
        direct = z @ ridge_cox(z[fold.train], *problem.outcome(fold.train), 0.01 * len(fold.train))
        same.append(np.allclose(scores.test, direct[fold.test], atol=1e-6))
    assert sum(same) == 1


def test_a_patient_without_a_table_is_predicted_from_medians(inputs):
    fold = inputs.folds[0]
    features = {name: table.copy() for name, table in inputs.features.items()}
    lacking = np.array([fold.train[0], fold.test[0]])
    features["expression"].iloc[lacking] = np.nan
    patients = inputs.patients.copy()
    patients.iloc[lacking, patients.columns.get_loc("has_expression")] = False
    masked = dataclasses.replace(inputs, patients=patients, features=features)
    for name in ("elastic-net-omics", "block-cox", "pca-cox-expression"):
        scores = LEARNERS[name](Problem(masked, fold, BASELINES[name], 1))
        assert np.isfinite(np.concatenate([scores.train, scores.inner, scores.test])).all()


def write(inputs: CohortInputs, folder) -> dict[str, str]:
    names = {"patients": "patients.tsv", "splits": "splits.tsv", "expression": "expression.h5ad", "cnv": "cnv.parquet"}
    paths = {name: str(folder / file) for name, file in names.items()}
    write_patients(paths["patients"], inputs.patients)
    ids = inputs.patients.index
    splits = [
        pd.DataFrame({"fold": fold.number, "patient_id": ids[who], "role": role, "inner": part})
        for fold in inputs.folds
        for role, who, part in (("train", fold.train, fold.inner), ("test", fold.test, 0))
    ]
    write_splits(paths["splits"], pd.concat(splits))
    write_expression(paths["expression"], inputs.features["expression"], "zscore")
    write_features(paths["cnv"], inputs.features["cnv"])
    return paths


def test_step_reads_files_and_uses_the_tables_that_there_are(inputs, tmp_path):
    paths = write(inputs, tmp_path)
    out = tmp_path / "predictions.tsv"
    fit_baseline(name="block-cox", paths=paths, covariates=COVARIATES, seed=17, out=str(out))
    written = read_predictions(out)
    direct = predict("block-cox", inputs, ["clinical", "expression", "cnv"], 17)
    both = written.merge(direct, on=["fold", "seed", "patient_id", "role"], validate="1:1")
    assert len(both) == len(written) == len(direct)
    np.testing.assert_allclose(both["log_hazard_x"], both["log_hazard_y"], rtol=1e-6, atol=1e-6)
    assert list(written["role"].unique()) == ["train", "inner", "test"]


@pytest.mark.parametrize(
    ("name", "says"),
    [("cox", "no baseline 'cox': use one of clinical-cox"), ("elastic-net-mutations", "needs mutations, of which")],
)
def test_refusals_are_sentences(inputs, tmp_path, name, says):
    with pytest.raises(ValueError, match=says):
        fit_baseline(name=name, paths={}, covariates={}, seed=1, out=str(tmp_path / "x.tsv"))


REAL = {
    "tcga-gbmlgg": (
        {
            "age": "numeric",
            "sex": "nominal",
            "grade": {"ordinal": ["G2", "G3", "G4"]},
            "idh_status": "nominal",
            "codel_1p19q": "nominal",
            "project": "nominal",
        },
        0.867,
    ),
    "tcga-kirc": (
        {
            "age": "numeric",
            "sex": "nominal",
            "grade": {"ordinal": ["G1", "G2", "G3", "G4"]},
            "stage": {"ordinal": ["I", "II", "III", "IV"]},
        },
        0.807,
    ),
}


@pytest.mark.parametrize("cohort", sorted(REAL))
def test_clinical_cox_on_the_real_cohorts(shared, cohort):
    """The C-index that lifelines gave on the same patients and the published 15 splits."""
    covariates, expected = REAL[cohort]
    folder = shared / "data" / cohort
    patients = pd.read_csv(folder / "clinical.csv", index_col="patient_id").sort_index()
    patients = patients[(patients["has_omics"] == 1) & (patients["has_image"] == 1) & (patients["time_days"] > 0)]
    patients = patients.assign(event=patients["event"] == 1, has_clinical=True)
    splits = pd.read_csv(folder / "splits15.csv", index_col="patient_id").reindex(patients.index)
    splits = splits.filter(like="fold").melt(ignore_index=False, var_name="fold", value_name="role").dropna()
    splits = splits.reset_index().assign(fold=lambda t: t["fold"].str.removeprefix("fold").astype(int))
    inner = np.random.default_rng(0).integers(1, 6, len(splits))
    folds = make_folds(patients.index, splits.assign(inner=np.where(splits["role"] == "train", inner, 0)))
    inputs = CohortInputs(patients, covariates, {}, frozenset(), None, folds)
    with warnings.catch_warnings(action="error"):
        table = predict("clinical-cox", inputs, ["clinical"], 1)
    assert concordance(table, inputs, "test") == pytest.approx(expected, abs=0.01)
