import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lifelines import CoxPHFitter, NelsonAalenFitter
from statsmodels.duration.hazard_regression import PHReg

from pathgptomic.cohort.breslow import Breslow, cox_slope, fit_breslow


def simulate(n: int = 300, slope: float = 0.7, seed: int = 0, ties: bool = True):
    generator = np.random.default_rng(seed)
    x = generator.normal(1.0, 2.0, n)
    time = generator.exponential(900 / np.exp(slope * x))
    cut = generator.exponential(1500, n)
    event = time <= cut
    time = np.minimum(time, cut)
    return x, np.ceil(time / 30) * 30 if ties else time, event


@pytest.mark.parametrize("ties", [True, False])
def test_slope_equals_statsmodels(ties):
    x, time, event = simulate(ties=ties)
    oracle = PHReg(time, x[:, None], status=event, ties="efron").fit().params[0]
    assert cox_slope(x, time, event) == pytest.approx(oracle, abs=1e-9)


@pytest.mark.parametrize("ties", [True, False])
def test_survival_equals_lifelines(ties):
    x, time, event = simulate(ties=ties)
    frame = pd.DataFrame({"x": x, "time": time, "event": event})
    oracle = CoxPHFitter().fit(frame, "time", "event", fit_options={"precision": 1e-12})
    # lifelines interpolates between its own times, so it is asked at times of death
    days = np.unique(time[event])[::10]
    expected = oracle.predict_survival_function(frame, times=days).to_numpy().T
    np.testing.assert_allclose(fit_breslow(x, time, event).survival(x, days), expected, atol=2e-5)


def test_constant_log_hazards_give_nelson_aalen():
    _, time, event = simulate(80)
    model = fit_breslow(np.full(80, 3.0), time, event)
    assert model.slope == 0
    oracle = NelsonAalenFitter(nelson_aalen_smoothing=False).fit(time, event).cumulative_hazard_.iloc[:, 0]
    np.testing.assert_allclose(model.hazard_at(oracle.index.to_numpy()), oracle.to_numpy(), atol=1e-12)


@given(st.integers(0, 10_000), st.floats(0.1, 20), st.floats(-50, 50))
def test_survival_does_not_depend_on_the_scale_of_the_risk(seed, factor, shift):
    x, time, event = simulate(40, seed=seed)
    days = np.array([100.0, 500.0])
    first = fit_breslow(x, time, event).survival(x, days)
    second = fit_breslow(factor * x + shift, time, event).survival(factor * x + shift, days)
    np.testing.assert_allclose(first, second, atol=1e-5)


def test_perfectly_ordered_rows_have_a_bounded_slope():
    time = np.arange(1.0, 31.0)
    model = fit_breslow(-time, time, np.ones(30, bool))
    assert np.isfinite(model.slope)
    assert model.slope > 0
    survival = model.survival(-time, time)
    assert np.isfinite(survival).all()
    assert (np.diff(survival, axis=1) <= 0).all()


def test_extreme_log_hazards_stay_finite():
    x, time, event = simulate(100)
    assert np.isfinite(fit_breslow(300 * x, time, event).survival(300 * x, np.array([1.0, 1e4]))).all()
    assert np.isfinite(
        fit_breslow(x, time, event, slope=1).survival(np.array([-1e6, 1e6]), np.array([0.0, 500.0]))
    ).all()


def test_no_deaths_means_survival_one():
    model = fit_breslow(np.arange(5.0), np.arange(1.0, 6.0), np.zeros(5, bool))
    assert (model.survival(np.arange(5.0), np.array([0.0, 10.0])) == 1).all()


def test_fixed_slope_is_kept_and_a_round_trip_changes_nothing():
    x, time, event = simulate(50)
    model = fit_breslow(x, time, event, slope=1.0)
    again = Breslow.from_dict(json.loads(json.dumps(model.to_dict())))
    assert again.slope == 1.0
    np.testing.assert_array_equal(again.survival(x, np.array([200.0])), model.survival(x, np.array([200.0])))


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="1 of 3 log-hazard values"):
        cox_slope(np.array([0.0, np.nan, 1.0]), np.ones(3), np.ones(3, bool))
