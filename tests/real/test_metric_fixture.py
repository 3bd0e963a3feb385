"""The metric code on the published predictions of Pathomic Fusion, whose C-indices are known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as t_distribution
from scipy.stats import ttest_rel, zscore

from pathgptomic.report.metrics import comparable_pairs, harrell_c
from pathgptomic.report.resampling import Pairs
from pathgptomic.report.statistics import corrected_t

RATIO = 153 / 616  # test and training patients of the published splits


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "data" / "metric-fixture"


@pytest.fixture(scope="module")
def predictions(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "predictions.parquet").astype({"event": bool})


def outcome(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return rows["time"].to_numpy(float), rows["event"].to_numpy(bool)


def test_every_published_c_index_is_reproduced(folder: Path, predictions: pd.DataFrame):
    expected = pd.read_csv(folder / "expected_per_fold.csv")
    groups = dict(iter(predictions.groupby(["model", "fold"])))
    assert len(expected) == 195
    for row in expected.itertuples():
        rows = groups[row.model, row.fold]
        rows = rows[rows["in_omic_subset"]] if row.subset == "omic" else rows
        time, event = outcome(rows)
        assert (len(rows), event.sum()) == (row.n, row.events)
        assert comparable_pairs(time, event) == row.concordant + row.discordant + row.tied_risk
        value = harrell_c(time, event, rows["hazard"].to_numpy())
        assert value == pytest.approx(row.c_index, abs=1e-10)
        assert value == pytest.approx(row.c_index_lifelines, abs=1e-10)
        assert Pairs.of(time, event).concordance(rows["hazard"].to_numpy()) == pytest.approx(value, abs=1e-12)


def c_by_fold(predictions: pd.DataFrame, model: str) -> np.ndarray:
    chosen = predictions[(predictions["model"] == model) & predictions["in_omic_subset"]]
    return np.array([harrell_c(*outcome(rows), rows["hazard"].to_numpy()) for _, rows in chosen.groupby("fold")])


def test_every_published_mean_and_sd_is_reproduced(folder: Path, predictions: pd.DataFrame):
    expected = pd.read_csv(folder / "expected_summary.csv").set_index(["model", "subset"])
    for model, subset in expected.index:
        if subset == "omic":
            values, row = c_by_fold(predictions, model), expected.loc[(model, "omic")]
            assert len(values) == row["folds"]
            assert values.mean() == pytest.approx(row["c_mean"], abs=1e-6)
            assert values.std(ddof=1) == pytest.approx(row["c_sd"], abs=1e-6)


def test_published_interval_is_the_uncorrected_one(predictions: pd.DataFrame):
    # the paper prints 0.826 +- 0.009 for the three-branch model: a t interval that takes the folds as independent
    values = c_by_fold(predictions, "pathgraphomic_fusion")
    naive, corrected = corrected_t(values, 0.0), corrected_t(values, RATIO)
    assert naive.ci_high - naive.value == pytest.approx(0.009, abs=0.0005)
    assert corrected.ci_high - corrected.value > 2 * (naive.ci_high - naive.value)


def test_the_gain_of_fusion_over_genomics_does_not_survive_the_correction(predictions: pd.DataFrame):
    fusion, genomics = c_by_fold(predictions, "pathgraphomic_fusion"), c_by_fold(predictions, "omic")
    plain, corrected = corrected_t(fusion - genomics, 0.0), corrected_t(fusion - genomics, RATIO)
    assert plain.p == pytest.approx(ttest_rel(fusion, genomics).pvalue)
    assert plain.p < 0.002
    # t shrinks by sqrt((1/15) / (1/15 + ratio)), whatever the data
    shrunk = ttest_rel(fusion, genomics).statistic * np.sqrt((1 / 15) / (1 / 15 + RATIO))
    assert corrected.p == pytest.approx(2 * t_distribution.sf(shrunk, 14))
    assert 0.05 < corrected.p < 0.10


def test_late_fusion_of_the_published_unimodal_risks_beats_the_published_fusion(predictions: pd.DataFrame):
    wide = predictions[predictions["in_omic_subset"]].pivot(
        index=["fold", "patient_id", "time", "event"], columns="model", values="hazard"
    )
    values = []
    for _, rows in wide.reset_index().groupby("fold"):
        values.append(harrell_c(*outcome(rows), zscore(rows["path"]) + zscore(rows["omic"])))
    assert np.mean(values) == pytest.approx(0.8365, abs=0.0005)
    assert np.mean(values) > c_by_fold(predictions, "pathgraphomic_fusion").mean()


def test_permuted_outcomes_give_one_half_on_every_fold(predictions: pd.DataFrame):
    generator = np.random.default_rng(0)
    chosen = predictions[predictions["model"] == "pathgraphomic_fusion"]
    means = []
    for _, rows in chosen.groupby("fold"):
        orders = np.stack([generator.permutation(len(rows)) for _ in range(100)])
        means.append(Pairs.of(*outcome(rows)).permuted(rows["hazard"].to_numpy(), orders).mean())
    assert np.abs(np.array(means) - 0.5).max() < 0.03
    assert np.mean(means) == pytest.approx(0.5, abs=0.005)
