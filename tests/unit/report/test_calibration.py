import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lifelines import CoxPHFitter, KaplanMeierFitter
from lifelines.statistics import logrank_test
from scipy import stats

from pathgptomic.report import curves
from pathgptomic.report.calibration import calibration_rows, calibration_slope, d_calibration, d_calibration_counts
from pathgptomic.report.metrics import Undefined


def simulate(n=300, seed=0, leave=True):
    """Return time, event, log-hazard and the true survival at each patient's own time."""
    generator = np.random.default_rng(seed)
    risk = generator.normal(size=n)
    death = generator.exponential(1000 / np.exp(risk))
    left = generator.uniform(200, 3000, n) if leave else np.full(n, np.inf)
    time = np.minimum(death, left)
    return time, death <= left, risk, np.exp(-np.exp(risk) * time / 1000)


def test_d_calibration_is_uniform_under_the_truth():
    p = [d_calibration(own, event) for _, event, _, own in (simulate(100, seed, leave=False) for seed in range(400))]
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert 0.02 < np.mean(np.array(p) < 0.05) < 0.08


def test_d_calibration_is_conservative_where_patients_leave():
    p = np.array([d_calibration(own, event) for _, event, _, own in (simulate(100, seed) for seed in range(200))])
    assert np.mean(p < 0.05) <= 0.05


def test_d_calibration_sees_wrong_probabilities():
    _, event, _, own = simulate(300)
    assert d_calibration(own, event) > 0.05
    assert d_calibration(own**3, event) < 1e-6


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30), st.integers(2, 12))
def test_d_calibration_counts_everybody_once(rows, bins):
    survival, event = (np.array(column) for column in zip(*rows, strict=True))
    counts = d_calibration_counts(survival, event, bins)
    assert counts.sum() == pytest.approx(len(rows))
    assert (counts >= 0).all()


def test_d_calibration_counts_by_hand():
    # a death at 0.95; one left at 0.3: 2/3 of [0, 0.3] is in the first bin, 1/3 in the second; one left at 0
    counts = d_calibration_counts(np.array([0.95, 0.3, 0.0]), np.array([True, False, False]), 5)
    np.testing.assert_allclose(counts, [2 / 3 + 1, 1 / 3, 0, 0, 1], atol=1e-12)


def test_calibration_slope_undoes_the_scale():
    time, event, risk, _ = simulate(2000)
    assert calibration_slope(risk, time, event) == pytest.approx(1, abs=0.1)
    assert calibration_slope(3 * risk, time, event) == pytest.approx(calibration_slope(risk, time, event) / 3)
    with pytest.raises(Undefined, match="same prediction"):
        calibration_slope(np.zeros(2000), time, event)
    with pytest.raises(Undefined, match="no death"):
        calibration_slope(risk, time, np.zeros(2000, bool))


def test_kaplan_meier_equals_lifelines():
    time, event, _, _ = simulate(120)
    time = np.ceil(time / 60) * 60
    curve = curves.kaplan_meier(time, event)
    oracle = KaplanMeierFitter().fit(time, event)
    np.testing.assert_allclose(curve.survival, oracle.survival_function_.iloc[:, 0], atol=1e-12)
    table = oracle.event_table
    np.testing.assert_array_equal(curve.at_risk, table["at_risk"])
    np.testing.assert_array_equal(curve.deaths, table["observed"])
    np.testing.assert_array_equal(curve.left, table["censored"])
    interval = oracle.confidence_interval_.to_numpy()
    inside = (curve.survival < 1) & (curve.survival > 0)
    np.testing.assert_allclose(curve.ci_low[inside], interval[inside, 0], atol=1e-9)
    np.testing.assert_allclose(curve.ci_high[inside], interval[inside, 1], atol=1e-9)
    assert curve.median() == oracle.median_survival_time_
    for day in (1.0, 60.0, 333.0, 1500.0):
        survival, low, high, at_risk = curve.at(day)
        assert survival == pytest.approx(oracle.predict(day))
        assert low <= survival <= high
        assert at_risk == (time > day).sum()


def test_a_curve_says_nothing_beyond_follow_up():
    curve = curves.kaplan_meier(np.array([5.0, 10, 20]), np.array([True, True, False]))
    assert curve.at(20)[0] == pytest.approx(1 / 3)
    assert np.isnan(curve.at(21)[0])
    assert np.isnan(curves.kaplan_meier(np.array([5.0, 10, 20]), np.array([True, False, False])).median())
    everybody_died = curves.kaplan_meier(np.array([5.0, 10]), np.array([True, True]))
    assert everybody_died.at(99)[0] == 0


def test_calibration_rows_of_true_probabilities_agree_with_what_happened():
    time, event, risk, _ = simulate(3000)
    rows = pd.DataFrame(calibration_rows(np.exp(-np.exp(risk) * 0.365), time, event, day=365.0, groups=5, alpha=0.05))
    assert rows["group"].tolist() == [0, 1, 2, 3, 4, 5]
    assert rows["n"].tolist() == [3000, 600, 600, 600, 600, 600]
    assert rows["predicted"][1:].is_monotonic_increasing
    assert (rows["predicted"] - rows["observed"]).abs().max() < 0.05
    assert ((rows["ci_low"] <= rows["observed"]) & (rows["observed"] <= rows["ci_high"])).all()
    assert rows["events"][0] == rows["events"][1:].sum() == (event & (time <= 365)).sum()
    assert rows["at_risk"][0] == rows["at_risk"][1:].sum()


def test_training_percentile_and_groups_are_those_of_the_training_quantiles():
    generator = np.random.default_rng(0)
    training, test = generator.normal(size=301), generator.normal(size=99)
    percentile = curves.training_percentile(test, training)
    for quantile in (0.25, 1 / 3, 0.5):
        cut = np.quantile(training, quantile, method="inverted_cdf")
        np.testing.assert_array_equal(curves.group_of(percentile, (quantile,)), 1 + (test > cut))
    assert curves.training_percentile(np.array([2.0]), np.array([1.0, 2.0, 2.0, 3.0])) == 0.5


def test_groups_cover_the_ends_and_have_names():
    assert curves.group_of(np.array([0.0, 0.5, 1.0]), (0.7, 0.3)).tolist() == [1, 2, 3]
    assert curves.group_labels(3) == ["low", "intermediate", "high"]
    assert curves.group_labels(4)[-1] == "group 4"


def test_logrank_and_hazard_ratio_equal_lifelines():
    time, event, risk, _ = simulate(200)
    group = 1 + (risk > 0)
    expected = logrank_test(time[group == 1], time[group == 2], event[group == 1], event[group == 2]).p_value
    assert curves.logrank_p(time, event, group) == pytest.approx(expected)
    fit = CoxPHFitter().fit(pd.DataFrame({"time": time, "event": event, "high": group == 2}), "time", "event")
    ratio, low, high, p = curves.hazard_ratios(time, event, group)[2]
    assert ratio == pytest.approx(fit.hazard_ratios_["high"], rel=1e-6)
    np.testing.assert_allclose([low, high], np.exp(fit.confidence_intervals_.to_numpy()[0]), rtol=1e-6)
    assert p == pytest.approx(fit.summary["p"]["high"], rel=1e-6)


def test_groups_that_cannot_be_compared_have_no_ratio():
    time, event, risk, _ = simulate(60)
    group = 1 + (risk > 0)
    assert np.isnan(curves.logrank_p(time, event, np.ones(60, int)))
    assert np.isnan(curves.logrank_p(time, np.zeros(60, bool), group))
    assert curves.hazard_ratios(time, event & (group == 2), group) == {}
    three = np.where(risk > 1, 3, group)
    assert set(curves.hazard_ratios(time, event & (three != 2), three)) == {3}
