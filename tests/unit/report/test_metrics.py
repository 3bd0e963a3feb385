import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines.utils import concordance_index
from sksurv.metrics import brier_score, concordance_index_ipcw
from sksurv.util import Surv

from pathgptomic.report import metrics
from pathgptomic.report.metrics import Undefined, Window
from pathgptomic.report.resampling import Pairs, brier_parts, draw_counts

outcomes = st.lists(
    st.tuples(st.integers(1, 12), st.booleans(), st.integers(-3, 3)), min_size=2, max_size=14
)  # few values, so that times and risks are often tied


def brute_force(time, event, risk, level=None):
    """Count the pairs one by one, as the definition says."""
    agreeing = total = 0.0
    for i in range(len(time)):
        for j in range(len(time)):
            earlier = time[i] < time[j] or (time[i] == time[j] and not event[j])
            if i != j and event[i] and earlier and (level is None or level[i] == level[j]):
                total += 1
                agreeing += 1.0 if risk[i] > risk[j] else 0.5 if risk[i] == risk[j] else 0.0
    return agreeing, total


def simulate(n=240, seed=0):
    generator = np.random.default_rng(seed)
    risk = generator.normal(size=n)
    death, left = generator.exponential(1500 / np.exp(risk)), generator.uniform(100, 4000, n)
    return np.ceil(np.minimum(death, left)), death <= left, risk


def window_of(time, event, train, quantile=0.9):
    return Window.of(
        train_time=time[train],
        train_event=event[train],
        test_time=time[~train],
        test_event=event[~train],
        follow_up_quantile=quantile,
    )


@given(outcomes)
def test_harrell_equals_the_definition(rows):
    time, event, risk = (np.array(column) for column in zip(*rows, strict=True))
    agreeing, total = brute_force(time, event, risk)
    assert metrics.comparable_pairs(time, event) == total
    if total == 0:
        with pytest.raises(Undefined, match="no comparable pair"):
            metrics.harrell_c(time, event, risk)
        assert np.isnan(Pairs.of(time, event).concordance(risk))
    else:
        assert metrics.harrell_c(time, event, risk) == pytest.approx(agreeing / total, abs=1e-12)
        assert Pairs.of(time, event).concordance(risk) == pytest.approx(agreeing / total, abs=1e-12)


@given(outcomes)
def test_reversed_risks_give_the_complement(rows):
    time, event, risk = (np.array(column) for column in zip(*rows, strict=True))
    if metrics.comparable_pairs(time, event):
        forward, backward = metrics.harrell_c(time, event, risk), metrics.harrell_c(time, event, -risk)
        assert forward + backward == pytest.approx(1.0)
        assert metrics.harrell_c(time, event, np.exp(risk)) == forward


@given(outcomes, st.data())
def test_within_c_counts_pairs_of_one_level_only(rows, data):
    time, event, risk = (np.array(column) for column in zip(*rows, strict=True))
    level = np.array(data.draw(st.lists(st.sampled_from("ab"), min_size=len(rows), max_size=len(rows))))
    agreeing, total = brute_force(time, event, risk, level)
    if total:
        assert metrics.within_c(time, event, risk, level) == pytest.approx(agreeing / total)
    else:
        with pytest.raises(Undefined):
            metrics.within_c(time, event, risk, level)


@given(outcomes, st.integers(0, 100))
@settings(max_examples=40)
def test_a_resample_counts_like_a_table_with_repeated_rows(rows, seed):
    time, event, risk = (np.array(column) for column in zip(*rows, strict=True))
    counts = draw_counts(len(rows), 5, np.random.default_rng(seed))
    assert (counts.sum(axis=1) == len(rows)).all()
    for drawn, value in zip(counts.astype(int), Pairs.of(time, event).resampled(risk, counts), strict=True):
        repeated = [np.repeat(column, drawn) for column in (time, event, risk)]
        if metrics.comparable_pairs(*repeated[:2]):
            assert value == pytest.approx(concordance_index(repeated[0], -repeated[2], repeated[1]))
        else:
            assert np.isnan(value)


def test_uno_equals_scikit_survival_on_untouched_outcomes():
    time, event, risk = simulate()
    train = np.arange(len(time)) < 180
    window = window_of(time, event, train, 0.7)
    assert window.tau == np.quantile(time[train], 0.7)
    expected = concordance_index_ipcw(
        Surv.from_arrays(event[train], time[train]),
        Surv.from_arrays(event[~train], time[~train]),
        risk[~train],
        tau=window.tau,
    )[0]
    assert metrics.uno_c(window, risk[~train]) == pytest.approx(expected, abs=1e-12)
    assert metrics.uno_c(window, risk[~train]) != pytest.approx(
        metrics.harrell_c(time[~train], event[~train], risk[~train])
    )


def test_weighted_pairs_equal_uno():
    time, event, risk = simulate()
    everybody = Window.of(train_time=time, train_event=event, test_time=time, test_event=event, follow_up_quantile=0.8)
    weight = np.where(time < everybody.tau, everybody.followed(time).clip(1e-9) ** -2, 0.0)
    pairs = Pairs.of(time, event, weight)
    assert pairs.concordance(risk) == pytest.approx(metrics.uno_c(everybody, risk), abs=1e-12)


def test_brier_parts_average_to_scikit_survival():
    time, event, risk = simulate()
    train = np.arange(len(time)) < 180
    window = window_of(time, event, train)
    survival = np.exp(-np.exp(risk[~train])[:, None] * window.days / 1500)
    own_time, own_event = window.test["time"], window.test["event"]
    parts = brier_parts(
        survival,
        own_time,
        own_event,
        days=window.days,
        followed=window.followed(own_time),
        followed_at=window.followed(window.days),
    )
    score = metrics.integrated_brier(window, survival)
    assert parts.mean() == pytest.approx(score, abs=1e-12)
    # ending follow-up just after tau changes nothing up to tau
    _, untouched = brier_score(window.train, Surv.from_arrays(event[~train], time[~train]), survival, window.days)
    assert score == pytest.approx(np.trapezoid(untouched, window.days) / np.ptp(window.days), abs=1e-12)


def test_auc_by_hand():
    # nobody leaves before day 100, so that all weights are 1: deaths on days 1 to 4, the others alive
    time = np.array([1.0, 2, 3, 4, 100, 100, 100, 100])
    event = time < 100
    risk = np.array([8.0, 7, 2, 6, 5, 4, 3, 1])
    window = Window.of(train_time=time, train_event=event, test_time=time, test_event=event, follow_up_quantile=0.5)
    # by day 2 the cases 8, 7 are above all others; by day 3 the case 2 is above one of the five; day 50 is beyond tau
    values = metrics.auc_at(window, risk, [2.0, 3.0, 50.0])
    assert values == pytest.approx([1.0, (5 + 5 + 1) / 15, np.nan], nan_ok=True)
    # the curve falls by 1/8 on each of the four days, so that the mean is the plain one of days 1 to 4 here
    by_day_4 = (4 + 4 + 1 + 4) / 16
    assert metrics.mean_auc(window, risk) == pytest.approx((1 + 1 + 11 / 15 + by_day_4) / 4)


def test_a_model_that_knows_the_truth_beats_one_that_knows_nothing():
    time, event, risk = simulate(600)
    train = np.arange(600) < 300
    window = window_of(time, event, train)
    noise = np.random.default_rng(1).normal(size=300)
    assert metrics.uno_c(window, risk[~train]) > 0.7 > 0.58 > metrics.uno_c(window, noise)
    assert metrics.mean_auc(window, risk[~train]) > 0.75 > 0.6 > metrics.mean_auc(window, noise)
    truth = np.exp(-np.exp(risk[~train])[:, None] * window.days / 1500)
    assert metrics.integrated_brier(window, truth) < metrics.integrated_brier(window, window.null_survival())


def test_a_test_part_without_deaths_has_no_metric():
    time, event, risk = simulate(60)
    train = np.arange(60) < 40
    event = event & train
    window = window_of(time, event, train)
    for function in (metrics.uno_c, metrics.mean_auc):
        with pytest.raises(Undefined, match="no death before"):
            function(window, risk[~train])
    with pytest.raises(Undefined, match="no death before"):
        metrics.integrated_brier(window, np.ones((20, 50)))
    assert np.isnan(metrics.auc_at(window, risk[~train], [365.0])).all()


def test_tau_stays_where_somebody_is_still_followed():
    # a study that ends for all survivors on one day: its quantile is that day, beyond which no weight exists
    time = np.array([10.0, 20, 30, 40, 500, 500, 500, 500, 500, 500])
    event = time < 500
    window = Window.of(train_time=time, train_event=event, test_time=time, test_event=event, follow_up_quantile=0.9)
    assert window.tau == 40
    assert (window.followed(window.days) > 0).all()
    risk = -time
    assert metrics.uno_c(window, risk) == 1
    assert metrics.mean_auc(window, risk) == 1


def test_permuted_outcomes_average_to_one_half():
    time, event, risk = simulate()
    generator = np.random.default_rng(0)
    orders = np.stack([generator.permutation(len(time)) for _ in range(200)])
    values = Pairs.of(time, event).permuted(risk, orders)
    assert abs(values.mean() - 0.5) < 4 * values.std() / np.sqrt(200)
    assert values.max() < metrics.harrell_c(time, event, risk)
