import logging
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sksurv.metrics import concordance_index_censored

from pathgptomic.cohort.tables import (
    read_expression,
    read_features,
    read_patients,
    write_expression,
    write_features,
    write_patients,
)
from pathgptomic.survival import chunks, fit, train
from pathgptomic.survival.balance import STRATEGIES
from pathgptomic.survival.inputs import read_inputs
from pathgptomic.survival.predictions import read_predictions
from pathgptomic.survival.settings import ModelSettings
from pathgptomic.survival.stack import members
from pathgptomic.survival.train import fit_all, train_model
from tests.unit.survival.synthetic import COVARIATES, MODALITIES, OMICS, make_cohort, only

CPU = torch.device("cpu")
SMALL = {"expression": {"pca": 0}, "cnv": {"pca": 4}}
FAST = {"epochs": 6, "patience": 3}


def settings(modalities=MODALITIES, **others) -> dict:
    return {"modalities": list(modalities), "features": SMALL, "training": FAST, **others}


def fitted(paths, given: dict, *, seed=17, seeds=1, fold=None):
    """Return the predictions, the history and the weights of all networks (or those of one fold)."""
    model = ModelSettings.from_dict(given)
    inputs = read_inputs(only(paths, model.modalities), COVARIATES, model.modalities)
    networks = [each for each in members(inputs, seeds) if fold in (None, each.fold)]
    parts = fit_all(inputs, model, networks, seed=seed, device=CPU)
    tables = (
        pd.concat([getattr(each, name) for each in parts], ignore_index=True) for name in ("predictions", "history")
    )
    return *tables, parts


def c_index(predictions: pd.DataFrame, paths, role: str) -> float:
    patients = read_patients(paths["patients"])
    folds = predictions[predictions["role"] == role].groupby("fold")
    scores = []
    for _, rows in folds:
        outcome = patients.loc[rows["patient_id"]]
        scores.append(concordance_index_censored(outcome["event"], outcome["time_days"], rows["log_hazard"])[0])
    return float(np.mean(scores))


def run(paths, folder: Path, given: dict, **others) -> dict[str, str]:
    """Run the whole step and return its files."""
    modalities = given["modalities"]
    out = {"predictions": "predictions.tsv", "history": "history.parquet"}
    out |= {"weights": "bundle/model.safetensors", "facts": "bundle/model.json"}
    out = {name: str(folder / file) for name, file in out.items()}
    train_model(
        **{"seeds": 1, "seed": 17, "device": "cpu", **others},
        paths=only(paths, modalities), covariates=COVARIATES, settings=given, **out,
    )  # fmt: skip
    return out


KINDS = {
    "concat": settings(balance={"strategy": "path-gptomic"}, network={"modality_dropout": 0.2}),
    "kronecker": settings(balance={"strategy": "ogm-ge"}, fusion="kronecker", predictor="full"),
    "attention": settings(balance={"strategy": "random"}, pooling="attention"),
    "batches": settings(balance={"strategy": "mmpareto"}, loss={"risk_set": "batch", "batch_size": 20}),
}


@pytest.fixture(params=KINDS)
def given(request) -> dict:
    """Return the settings of a model, one of each kind of training."""
    return KINDS[request.param]


def test_stacked_training_is_training_one_network_after_the_other(cohort, given):
    # epochs fixed: the networks of a fold choose theirs together
    model = ModelSettings.from_dict({**given, "training": {"epochs": 4, "early_stopping": False}})
    inputs = read_inputs(only(cohort, model.modalities), COVARIATES, model.modalities)
    clinical, networks = train.clinical_designs(inputs), members(inputs, 2)
    shape = chunks.network_shape(inputs, model, clinical)
    stacked = chunks.fit_chunk(inputs, model, networks, clinical, shape, seed=17, device=CPU)
    for one in networks[::5]:
        alone = chunks.fit_chunk(inputs, model, [one], clinical, shape, seed=17, device=CPU)
        merged = stacked.history.merge(alone.history, on=["fold", "seed", "inner", "epoch", "quantity", "branch"])
        assert len(merged) == len(alone.history) > 20
        np.testing.assert_allclose(merged["value_x"], merged["value_y"], rtol=1e-5, atol=1e-5)


def test_stacked_folds_are_one_fold_after_the_other(cohort, given):
    together, history, _ = fitted(cohort, given, seeds=2)
    keys = ["fold", "seed", "patient_id", "role"]
    for fold in (1, 3):
        rows, log, _ = fitted(cohort, given, seeds=2, fold=fold)
        merged = rows.merge(together, on=keys)
        assert len(merged) == len(rows) == (together["fold"] == fold).sum()
        np.testing.assert_allclose(merged["log_hazard_x"], merged["log_hazard_y"], rtol=1e-5, atol=1e-5)
        assert len(log) == (history["fold"] == fold).sum()


def test_rows_of_every_role_are_there_once(cohort):
    predictions, _, _ = fitted(cohort, settings(OMICS), seeds=2)
    inputs = read_inputs(only(cohort, []), {}, [])
    ids = inputs.patients.index
    assert not predictions.duplicated(["fold", "seed", "patient_id", "role"]).any()
    for fold in inputs.folds:
        for seed in (1, 2):
            rows = predictions[(predictions["fold"] == fold.number) & (predictions["seed"] == seed)]
            who = rows.groupby("role")["patient_id"].agg(set)
            assert who["train"] == who["inner"] == set(ids[fold.train])
            assert who["test"] == set(ids[fold.test])


def test_training_log_hazards_have_mean_zero(cohort):
    predictions, _, _ = fitted(cohort, settings(OMICS))
    means = predictions[predictions["role"] == "train"].groupby("fold")["log_hazard"].mean()
    np.testing.assert_allclose(means, 0, atol=1e-6)


@pytest.mark.parametrize(
    ("modalities", "others"),
    [
        (["clinical"], {}),
        (["expression"], {}),
        (["slides"], {}),
        (["slides"], {"pooling": "attention"}),
        (OMICS, {}),
        (MODALITIES, {"balance": {"strategy": "path-gptomic"}}),
        (MODALITIES, {"fusion": "kronecker"}),
    ],
    ids=lambda value: "-".join(value) if not isinstance(value, dict) else "".join(map(str, value.values())),
)
def test_a_planted_signal_is_found_in_each_branch(tmp_path, modalities, others):
    paths = make_cohort(tmp_path, patients=180, seed=5, planted=tuple(modalities))
    training = {"epochs": 60, "learning_rate": 0.01}
    predictions, _, _ = fitted(paths, settings(modalities, **{**others, "training": training}))
    assert c_index(predictions, paths, "test") > 0.65
    assert c_index(predictions, paths, "inner") > 0.65


def test_shuffled_outcomes_are_not_predicted(tmp_path):
    # several cohorts: the C-index of 60 test patients alone has a standard error of about 0.05
    found = []
    for seed in range(3):
        paths = make_cohort(tmp_path / str(seed), patients=180, seed=seed, shuffled=True)
        predictions, _, _ = fitted(
            paths, settings(training={"epochs": 60, "learning_rate": 0.01, "early_stopping": False})
        )
        assert c_index(predictions, paths, "train") > 0.6
        found.append(c_index(predictions, paths, "test"))
    assert np.mean(found) == pytest.approx(0.5, abs=0.06)


def test_nothing_of_the_test_patients_reaches_the_fit(tmp_path):
    """Outcomes and all features of the test patients are replaced; only their own predictions may change."""
    given = settings(balance={"strategy": "path-gptomic"})
    paths = make_cohort(tmp_path / "a", folds=1, per_fold_bags=True)
    before, history, parts = fitted(paths, given)
    other = make_cohort(tmp_path / "b", folds=1, per_fold_bags=True)
    inputs = read_inputs(only(paths, MODALITIES), COVARIATES, MODALITIES)
    test = inputs.patients.index[inputs.folds[0].test]
    _spoil(Path(other["patients"]).parent, test)
    after, spoilt_history, spoilt_parts = fitted(other, given)
    fitting = before["role"] != "test"
    pd.testing.assert_frame_equal(before[fitting], after[fitting])
    pd.testing.assert_frame_equal(history, spoilt_history)
    for name, weight in parts[0].weights.items():
        assert torch.equal(weight, spoilt_parts[0].weights[name])
    assert (before.loc[~fitting, "log_hazard"] != after.loc[~fitting, "log_hazard"]).any()


def _spoil(folder: Path, test: pd.Index) -> None:
    patients = read_patients(folder / "patients.tsv")
    patients.loc[test, "time_days"] = np.arange(1.0, len(test) + 1)
    patients.loc[test, "event"] = ~patients.loc[test, "event"]
    patients.loc[test, "age"], patients.loc[test, "sex"] = "999", "unheard of"
    write_patients(folder / "patients.tsv", patients)
    for name in ("cnv", "mutations"):
        table = read_features(folder / f"{name}.parquet")
        table.loc[test] = 77.0
        write_features(folder / f"{name}.parquet", table)
    table, scale = read_expression(folder / "expression.h5ad")
    table.loc[test] = -55.0
    write_expression(folder / "expression.h5ad", table, scale)
    index = pd.read_csv(folder / "bags.tsv", sep="\t", dtype={"patient_id": str})
    rows = np.load(folder / "bags.npy")
    for start, stop in index.loc[index["patient_id"].isin(test), ["start", "stop"]].to_numpy():
        rows[start:stop] = 99.0
    np.save(folder / "bags.npy", rows)


def test_a_killed_run_goes_on_and_ends_as_if_undisturbed(cohort, tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(chunks.STEP_ELEMENTS, "cpu", 1)  # a chunk a fold
    given = settings(pooling="attention")
    whole = run(cohort, tmp_path / "whole", given)
    calls = []
    real = train.fit_chunk

    def killed_in_the_third(*arguments, **others):
        calls.append(others["label"])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments, **others)

    monkeypatch.setattr(train, "fit_chunk", killed_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        run(cohort, tmp_path / "killed", given)
    assert not (tmp_path / "killed" / "predictions.tsv").exists()
    half = next((tmp_path / "killed" / train.PARTS).iterdir())
    (half / ".chunk3of3.1234.part").mkdir()  # what a kill within a write leaves
    calls.clear()
    with caplog.at_level(logging.INFO):
        resumed = run(cohort, tmp_path / "killed", given)
    assert calls == ["folds 3-3"]
    assert "chunk 2 of 3 is already there" in caplog.text
    assert not (tmp_path / "killed" / train.PARTS).exists()
    for name in ("predictions", "history", "weights", "facts"):
        assert Path(whole[name]).read_bytes() == Path(resumed[name]).read_bytes(), name


def test_finished_chunks_of_other_settings_are_not_taken(cohort, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "remove", lambda path: None)
    monkeypatch.setitem(chunks.STEP_ELEMENTS, "cpu", 1)
    run(cohort, tmp_path, settings(["cnv"]))
    parts = tmp_path / train.PARTS
    assert len(list(parts.iterdir())) == 1
    run(cohort, tmp_path, settings(["cnv"], network={"dropout": 0.1}))
    run(cohort, tmp_path, settings(["cnv"]), seed=18)
    assert len(list(parts.iterdir())) == 3
    shutil.rmtree(parts)


@pytest.mark.parametrize("fusion", ["concat", "kronecker"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_runs_on_gaps_and_moves_every_branch(masked_cohort, strategy, fusion):
    given = settings(fusion=fusion, balance={"strategy": strategy}, training={"epochs": 3})
    predictions, history, _ = fitted(masked_cohort, given, fold=1)
    assert np.isfinite(predictions["log_hazard"]).all()
    moved = history[history["quantity"] == "update_norm"].groupby("branch")["value"].min()
    assert set(moved.index) == {"genomics", "slides", "clinical"}
    assert (moved > 0).all()


@pytest.mark.parametrize(
    "balance",
    [
        {"rho": "literal"},
        {"rho": "aux_loss"},
        {"aggregate": "mean"},
        {"apply_to": "update"},
        {"apply_to": "grad"},
        {"auxiliary_weight": 0.3},
        {"start_epoch": 2, "end_epoch": 2},
    ],
    ids=lambda value: "-".join(map(str, value)),
)
def test_every_option_of_balance_runs(cohort, balance):
    given = settings(balance={"strategy": "path-gptomic", **balance}, training={"epochs": 3})
    predictions, history, _ = fitted(cohort, given, fold=1)
    assert np.isfinite(predictions["log_hazard"]).all()
    coefficients = history[history["quantity"] == "coefficient"].groupby("epoch")["value"].agg(["min", "max"])
    assert (coefficients["max"] <= 1).all()
    if "start_epoch" in balance:
        assert (coefficients.loc[[1, 3], "min"] == 1).all()
        assert coefficients.loc[2, "min"] < 1


def test_balance_holds_the_leading_branch_back(cohort):
    lengths = {}
    for strategy in ("none", "path-gptomic", "reversed"):
        given = settings(OMICS + ("clinical",), balance={"strategy": strategy}, training={"epochs": 25})
        _, history, _ = fitted(cohort, given, fold=1)
        wide = history[history["inner"] == 0].pivot(index="epoch", columns=["quantity", "branch"], values="value")
        lengths[strategy] = wide["update_norm"].sum()
        if strategy == "path-gptomic":
            rho, coefficient = wide["rho"], wide["coefficient"]
            np.testing.assert_allclose(rho["genomics"], 1 / rho["clinical"], rtol=1e-4)
            np.testing.assert_allclose(coefficient, np.minimum(1 - np.tanh(rho - 1), 1), rtol=1e-4)
            leader = "genomics" if (rho["genomics"] > 1).mean() > 0.5 else "clinical"
    follower = {"genomics": "clinical", "clinical": "genomics"}[leader]
    share = {name: each[leader] / each[follower] for name, each in lengths.items()}
    assert share["path-gptomic"] < share["none"] < share["reversed"]


def test_masked_patients_are_predicted(masked_cohort):
    predictions, _, _ = fitted(masked_cohort, settings(network={"modality_dropout": 0.2}))
    inputs = read_inputs(masked_cohort, COVARIATES, MODALITIES)
    tested = predictions[predictions["role"] == "test"]
    assert set(tested["patient_id"]) == set(inputs.patients.index)
    assert np.isfinite(tested["log_hazard"]).all()


def test_patients_without_the_only_modality_share_one_log_hazard(masked_cohort):
    predictions, _, _ = fitted(masked_cohort, settings(["slides"]), fold=1)
    inputs = read_inputs(only(masked_cohort, ["slides"]), {}, ["slides"])
    without = inputs.patients.index[~inputs.present("slides")]
    rows = predictions[predictions["patient_id"].isin(without) & (predictions["role"] == "test")]
    assert len(rows) > 3
    assert rows["log_hazard"].nunique() == 1


def test_training_is_deterministic_and_seeds_differ(cohort):
    given = settings(OMICS)
    first, _, _ = fitted(cohort, given, seeds=2, fold=1)
    second, _, _ = fitted(cohort, given, seeds=2, fold=1)
    other, _, _ = fitted(cohort, given, seed=18, fold=1)
    pd.testing.assert_frame_equal(first, second)
    one, two = (first.loc[first["seed"] == seed, "log_hazard"].to_numpy() for seed in (1, 2))
    assert not np.allclose(one, two)
    assert not np.allclose(one, other["log_hazard"].to_numpy())


def test_one_epoch_a_fold_is_chosen_by_the_inner_loss(cohort):
    given = settings(OMICS, training={"epochs": 40, "patience": 5, "learning_rate": 0.02})
    _, history, parts = fitted(cohort, given)
    patients = read_patients(cohort["patients"])
    splits = pd.read_csv(cohort["splits"], sep="\t").query("role == 'train'")
    splits["event"] = patients.loc[splits["patient_id"], "event"].to_numpy()
    events = splits.groupby(["fold", "inner"])["event"].sum()
    inner = history[history["quantity"] == "loss_inner"].set_index(["fold", "inner", "epoch"])["value"].unstack()
    networks = parts[0].networks
    for fold, rows in networks.groupby("fold"):
        (epoch,) = rows["epoch"].unique()
        weight = events.loc[fold]
        loss = (inner.loc[fold].mul(weight, axis=0).sum() / weight.sum())[inner.loc[fold].notna().all()]
        assert loss.idxmin() == epoch
        assert loss.index.max() == min(epoch + 5, 40)
    assert networks["epoch"].min() < 35  # some fold did stop


def test_fixed_epochs_keep_the_last(cohort):
    _, history, parts = fitted(cohort, settings(OMICS, training={"epochs": 4, "early_stopping": False}), fold=2)
    assert (parts[0].networks["epoch"] == 4).all()
    assert history["epoch"].max() == 4


def test_mini_batches_deal_every_patient_once_and_events_evenly(cohort):
    inputs = read_inputs(only(cohort, ["cnv"]), {}, ["cnv"])
    model = ModelSettings.from_dict(settings(["cnv"], loss={"risk_set": "batch", "batch_size": 16}))
    networks = members(inputs, 1)
    data, _ = chunks.assemble(inputs, model, networks, {}, CPU)
    count = chunks.batches(inputs, model)
    assert count == 4  # 60 training patients in batches of 16
    batches = fit.mini_batches(data, [each.noise_seed(1) for each in networks], 1, count)
    for k, member in enumerate(networks):
        drawn = [batch[k][batch[k] >= 0].numpy() for batch in batches]
        assert sorted(np.concatenate(drawn)) == list(range(len(member.rows)))
        events = [inputs.event[data.train.rows[k][each]].sum() for each in drawn]
        assert max(events) - min(events) <= 2
        assert max(map(len, drawn)) <= 16


def test_history_has_every_quantity(cohort, tmp_path):
    out = run(cohort, tmp_path, settings(balance={"strategy": "path-gptomic"}))
    history = pd.read_parquet(out["history"])
    whole = {"loss", "loss_inner", "c_train", "c_inner"}
    assert set(history.loc[history["branch"] == "", "quantity"]) == whole
    for branch in ("genomics", "slides", "clinical"):
        quantities = set(history.loc[history["branch"] == branch, "quantity"])
        assert quantities == {"rho", "coefficient", "update_norm", "c_train", "c_inner"}
    assert set(history.loc[history["quantity"] == "c_train", "inner"]) == {0}
    assert set(history.loc[history["quantity"] == "c_inner", "inner"]) == {1, 2, 3}
    assert history["value"].notna().all()
    rows = read_predictions(out["predictions"])
    assert set(rows["role"]) == {"train", "inner", "test"}


def test_a_gpu_that_is_not_there_is_refused():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match="device is cuda, but this job has no GPU"):
        train.choose_device("cuda")
    assert train.choose_device("auto") == CPU


def test_in_sample_image_features_are_named(cohort, caplog):
    inputs = read_inputs(only(cohort, ["slides"]), {}, ["slides"])
    object.__setattr__(inputs.bags, "in_sample_train", True)
    with caplog.at_level(logging.WARNING):
        train.warn_of_bags(inputs, ModelSettings(("slides",)))
    assert "slides look better than they will on new patients" in caplog.text
