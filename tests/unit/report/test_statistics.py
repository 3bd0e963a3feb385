import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from pathgptomic.report.resampling import Pairs, draw_counts
from pathgptomic.report.statistics import bootstrap_difference, corrected_t, holm, percentile_interval, verdict


def test_corrected_t_by_hand():
    # J = 5, mean 0.02, variance 2.5e-4; corrected variance (1/5 + 1/4) * 2.5e-4 = 1.125e-4
    estimate = corrected_t(np.array([0.0, 0.01, 0.02, 0.03, 0.04]), 0.25)
    assert estimate.value == pytest.approx(0.02)
    error = np.sqrt(1.125e-4)
    assert error == pytest.approx(0.010607, abs=1e-6)
    assert estimate.p == pytest.approx(2 * stats.t.sf(0.02 / error, 4))
    assert estimate.p == pytest.approx(0.1321, abs=1e-3)
    assert estimate.ci_low == pytest.approx(0.02 - 2.776445 * error, abs=1e-6)
    assert estimate.ci_high == pytest.approx(0.02 + 2.776445 * error, abs=1e-6)
    assert estimate.minimum_detectable == pytest.approx((2.776445 + 0.940965) * error, abs=1e-6)
    assert estimate.folds == 5


def test_without_overlap_it_is_the_plain_t_test():
    values = np.random.default_rng(0).normal(0.3, 1, 12)
    plain = stats.ttest_1samp(values, 0)
    estimate = corrected_t(values, 0.0)
    assert estimate.p == pytest.approx(plain.pvalue)
    interval = plain.confidence_interval()
    assert (estimate.ci_low, estimate.ci_high) == pytest.approx((interval.low, interval.high))


def test_undefined_folds_are_left_out_and_said():
    assert corrected_t(np.array([0.1, np.nan, 0.2]), 0.25).folds == 2
    one = corrected_t(np.array([np.nan, 0.2]), 0.25)
    assert (one.value, one.folds, one.note) == (0.2, 1, "one fold: no variance over folds, no t-test")
    assert np.isnan([one.ci_low, one.p, one.minimum_detectable]).all()
    none = corrected_t(np.array([np.nan]), 0.25)
    assert np.isnan(none.value)
    assert none.note == "undefined in every fold"


def test_a_model_against_itself():
    same = corrected_t(np.zeros(5), 0.25)
    assert (same.value, same.ci_low, same.ci_high, same.p) == (0, 0, 0, 1)
    same = bootstrap_difference(0.0, np.zeros(100))
    assert (same.value, same.ci_low, same.ci_high, same.p) == (0, 0, 0, 1)
    assert np.isnan(corrected_t(np.full(5, 0.1), 0.25).p)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
@settings(max_examples=15, deadline=None)  # statsmodels takes 0.1 s a call
def test_holm_equals_statsmodels(p):
    np.testing.assert_allclose(holm(np.array(p)), multipletests(p, method="holm")[1], atol=1e-12)


def test_holm_leaves_out_what_was_not_tested():
    adjusted = holm(np.array([0.01, np.nan, 0.04]))
    assert adjusted == pytest.approx([0.02, np.nan, 0.04], nan_ok=True)
    assert np.isnan(holm(np.array([np.nan]))).all()


@pytest.mark.parametrize(
    ("delta", "p", "larger", "words"),
    [
        (0.1, 0.01, True, "better"),
        (-0.1, 0.01, True, "worse"),
        (-0.1, 0.01, False, "better"),
        (0.1, 0.05, True, "not distinguishable"),
        (0.1, np.nan, True, "not tested"),
    ],
)
def test_verdict(delta, p, larger, words):
    assert verdict(delta, p, alpha=0.05, larger_is_better=larger) == words


def overlapping_differences(generator, patients=100, splits=15):
    """Return differences in test error of two equally good learners on overlapping 80/20 splits of one data set.

    Each learner is a line through one of two exchangeable features, fitted on the training part, so that neither is
    better on average whatever the data.
    """
    features = generator.normal(size=(2, patients))
    target = features.sum(axis=0) + generator.normal(size=patients)
    differences = []
    for _ in range(splits):
        order = generator.permutation(patients)
        train, test = order[: patients * 4 // 5], order[patients * 4 // 5 :]
        slope = (features[:, train] @ target[train]) / (features[:, train] ** 2).sum(axis=1)
        error = ((target[test] - slope[:, None] * features[:, test]) ** 2).mean(axis=1)
        differences.append(error[0] - error[1])
    return np.array(differences)


def test_the_corrected_test_holds_its_level_and_the_plain_one_does_not():
    generator = np.random.default_rng(3)
    differences = [overlapping_differences(generator) for _ in range(600)]
    corrected = np.mean([corrected_t(values, 0.25).p < 0.05 for values in differences])
    plain = np.mean([corrected_t(values, 0.0).p < 0.05 for values in differences])
    assert corrected < 0.09
    assert plain > 0.25


def test_the_bootstrap_test_of_two_equal_risks_holds_its_level():
    generator = np.random.default_rng(4)
    patients, rejected = 120, []
    for _ in range(250):
        truth = generator.normal(size=patients)
        death, left = generator.exponential(1 / np.exp(truth)), generator.uniform(0, 3, patients)
        pairs = Pairs.of(np.minimum(death, left), death <= left)
        first, second = truth + generator.normal(size=(2, patients))
        counts = draw_counts(patients, 200, generator)
        value = pairs.concordance(first) - pairs.concordance(second)
        draws = pairs.resampled(first, counts) - pairs.resampled(second, counts)
        rejected.append(bootstrap_difference(value, draws).p < 0.05)
    assert 0.01 < np.mean(rejected) < 0.09


def test_percentile_interval():
    assert percentile_interval(np.arange(1001.0), 0.1) == pytest.approx((50, 950))
    assert np.isnan(percentile_interval(np.array([np.nan]))).all()
