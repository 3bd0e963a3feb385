from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from pathgptomic.cohort.bags import Bags
from pathgptomic.survival import pooling
from pathgptomic.survival.attention import weigh_instances
from pathgptomic.survival.bundle import Bundle
from pathgptomic.survival.step import Trainer
from tests.unit.survival.synthetic import make_cohort
from tests.unit.survival.test_train import fitted, run, settings

GIVEN = settings(["slides", "clinical"], pooling="attention", training={"epochs": 8})


@pytest.fixture(scope="module")
def trained(cohort, tmp_path_factory):
    """Return the files of a model that pools by attention."""
    return run(cohort, tmp_path_factory.mktemp("attention"), GIVEN)


def weigh(files, paths, out: Path) -> pd.DataFrame:
    weigh_instances(
        **{name: files[name] for name in ("weights", "facts", "predictions")},
        splits=paths["splits"], bags=paths["slides"], out=str(out),
    )  # fmt: skip
    return pd.read_parquet(out)


def test_weights_sum_to_one_over_the_rows_of_a_patient(trained, cohort, tmp_path):
    table = weigh(trained, cohort, tmp_path / "attention.parquet")
    bags = Bags.load(Path(cohort["slides"]).parent)
    assert set(table["patient_id"]) == set(bags.patients(0))
    np.testing.assert_allclose(table.groupby("patient_id")["weight"].sum(), 1, rtol=1e-5)
    for patient, rows in table.groupby("patient_id"):
        start, stop = bags.for_fold(1, [patient])[0]
        assert list(rows["row"]) == list(range(start, stop))


def test_weights_are_those_of_networks_that_did_not_see_the_patient(trained, cohort, tmp_path):
    table = weigh(trained, cohort, tmp_path / "attention.parquet")
    bundle, bags = Bundle.load(trained["weights"], trained["facts"]), Bags.load(Path(cohort["slides"]).parent)
    splits = pd.read_csv(cohort["splits"], sep="\t", dtype={"patient_id": str}).query("role == 'test'")
    pool = bundle.network().pool
    for patient, fold in splits[["patient_id", "fold"]].to_numpy()[:6]:
        x = torch.from_numpy(np.array(bags.bag(fold, patient))).float()
        expected = []
        for k in np.flatnonzero(bundle.networks["fold"] == fold):
            x_k = (x - bundle.scales["slides"].mean[k]) / bundle.scales["slides"].sd[k]
            h = torch.relu(x_k @ pool.embed.weight[k] + pool.embed.bias[k])
            gate = torch.sigmoid(h @ pool.gate.weight[k] + pool.gate.bias[k])
            score = (torch.tanh(h @ pool.value.weight[k] + pool.value.bias[k]) * gate) @ pool.score.weight[k]
            expected.append(torch.softmax(score.squeeze(-1), 0))
        found = table.loc[table["patient_id"] == patient, "weight"]
        np.testing.assert_allclose(found, torch.stack(expected).mean(0).detach(), rtol=1e-3, atol=1e-5)


def test_patients_stand_from_high_to_low_risk(trained, cohort, tmp_path):
    table = weigh(trained, cohort, tmp_path / "attention.parquet")
    rows = pd.read_csv(trained["predictions"], sep="\t", dtype={"patient_id": str}).query("role == 'test'")
    risk = rows.set_index("patient_id")["log_hazard"]
    assert risk[table["patient_id"].unique()].is_monotonic_decreasing


def test_a_model_without_attention_and_bags_of_a_fold_are_refused(trained, cohort, tmp_path):
    mean = run(cohort, tmp_path / "mean", settings(["slides"]))
    with pytest.raises(ValueError, match="pools by mean: only attention weighs instances"):
        weigh(mean, cohort, tmp_path / "attention.parquet")
    other = make_cohort(tmp_path / "cohort", per_fold_bags=True)
    with pytest.raises(ValueError, match="holds other instances in every fold"):
        weigh(trained, other, tmp_path / "attention.parquet")


def test_training_in_parts_is_training_in_one_piece(cohort, monkeypatch):
    whole, history, _ = fitted(cohort, GIVEN, fold=1)
    monkeypatch.setattr(pooling, "PART_ELEMENTS", 4 * 32 * 40)
    parts, again, _ = fitted(cohort, GIVEN, fold=1)
    np.testing.assert_allclose(parts["log_hazard"], whole["log_hazard"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(again["value"], history["value"], rtol=1e-4, atol=1e-4)


def test_half_precision_stays_close_to_single_precision(cohort, monkeypatch):
    given = {**GIVEN, "training": {"epochs": 3, "early_stopping": False}, "fusion": "kronecker"}
    single, _, _ = fitted(cohort, given, fold=1)
    # on a GPU autocast does this; the same forward passes in bfloat16 run on a CPU too
    monkeypatch.setattr(Trainer, "autocast", lambda self: torch.autocast("cpu", torch.bfloat16))
    half, _, _ = fitted(cohort, given, fold=1)
    assert not np.array_equal(half["log_hazard"], single["log_hazard"])
    assert np.corrcoef(half["log_hazard"], single["log_hazard"])[0, 1] > 0.98
