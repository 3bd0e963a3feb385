"""The Cox loss against other people's code, brute force and its own symmetries."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sksurv.linear_model.coxph import CoxPHOptimizer
from statsmodels.duration.hazard_regression import PHReg

from pathgptomic.survival.cox import cox_loss, cox_partial_likelihood, shares
from pathgptomic.survival.risk_sets import RiskSets
from tests.oracles import torchsurv_cox

TIES = ["breslow", "efron"]


def cohort(n: int, seed: int, *, months: int = 20, spread: float = 1.0) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """Return log-hazards, times with ties (whole months) and events of `n` patients."""
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.normal(0, spread, n)), rng.integers(1, months, n).astype(float), rng.random(n) < 0.4


def brute_force(log_hazard: np.ndarray, time: np.ndarray, event: np.ndarray, ties: str) -> float:
    total = 0.0
    for at in np.unique(time[event]):
        dying = np.flatnonzero(event & (time == at))
        for rank, patient in enumerate(dying):
            weight = (time >= at).astype(float)
            if ties == "efron":
                weight[dying] -= rank / len(dying)
            with np.errstate(divide="ignore"):
                total += np.logaddexp.reduce(log_hazard + np.log(weight)) - log_hazard[patient]
    return total


def value_and_gradient(log_hazard, *data, **options):
    log_hazard = log_hazard.clone().requires_grad_()
    loss = cox_partial_likelihood(log_hazard, *data, **options)
    loss.backward()
    return loss.item(), log_hazard.grad


@pytest.mark.parametrize("ties", TIES)
def test_agrees_with_statsmodels_and_scikit_survival(ties):
    rng = np.random.default_rng(0)
    x, beta = rng.normal(size=(150, 3)), np.array([0.5, -1.0, 0.2])
    _, time, event = cohort(150, 1)
    beta_t = torch.tensor(beta, requires_grad=True)
    loss = cox_partial_likelihood(torch.tensor(x) @ beta_t, time, event, ties=ties, reduction="sum")
    loss.backward()
    reference = PHReg(time, x, status=event.astype(int), ties=ties)
    assert loss.item() == pytest.approx(-reference.loglike(beta), rel=1e-8)
    np.testing.assert_allclose(beta_t.grad.numpy(), -reference.score(beta), rtol=1e-8)

    optimiser = CoxPHOptimizer(x, event, time, alpha=np.zeros(3), ties=ties)
    assert loss.item() / len(x) == pytest.approx(optimiser.nlog_likelihood(beta), rel=1e-8)
    optimiser.update(beta)
    np.testing.assert_allclose(beta_t.grad.numpy() / len(x), optimiser.gradient, rtol=1e-8)


@pytest.mark.slow  # importing torchsurv takes longer than all other tests of this file
@pytest.mark.parametrize("ties", TIES)
def test_agrees_with_torchsurv(ties):
    neg_partial_log_likelihood = torchsurv_cox().neg_partial_log_likelihood

    log_hazard, time, event = cohort(300, 2)
    ours, gradient = value_and_gradient(log_hazard, time, event, ties=ties, reduction="sum")
    theirs = log_hazard.clone().requires_grad_()
    with warnings.catch_warnings(action="ignore"):  # it warns of every tie
        loss = neg_partial_log_likelihood(
            theirs, torch.tensor(event), torch.tensor(time), ties_method=ties, reduction="sum"
        )
    loss.backward()
    assert ours == pytest.approx(loss.item(), rel=1e-6)
    torch.testing.assert_close(gradient, theirs.grad, rtol=1e-5, atol=1e-6)


@given(st.integers(1, 40), st.integers(0, 10_000), st.sampled_from(TIES), st.integers(2, 30))
@settings(deadline=None)
def test_brute_force(n, seed, ties, months):
    log_hazard, time, event = cohort(n, seed, months=months, spread=3)
    loss = cox_partial_likelihood(log_hazard, time, event, ties=ties, reduction="sum")
    assert loss.item() == pytest.approx(brute_force(log_hazard.numpy(), time, event, ties), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_gradient_by_finite_differences(ties, reduction):
    log_hazard, time, event = cohort(25, 3, months=6)
    strata = np.arange(25) % 3

    def loss(x):
        return cox_partial_likelihood(x, time, event, ties=ties, strata=strata, reduction=reduction)

    assert torch.autograd.gradcheck(loss, (log_hazard.requires_grad_(),))


@pytest.mark.parametrize("ties", TIES)
def test_log_hazards_up_to_300(ties):
    _, time, event = cohort(400, 4)
    log_hazard = torch.tensor(np.random.default_rng(5).choice([-300.0, -1.0, 0.0, 300.0], 400))
    loss, gradient = value_and_gradient(log_hazard, time, event, ties=ties, reduction="sum")
    assert loss == pytest.approx(brute_force(log_hazard.numpy(), time, event, ties), rel=1e-12)
    # float32 inputs lose nothing, since these numbers are exact in it
    single, gradient_single = value_and_gradient(log_hazard.float(), time, event, ties=ties, reduction="sum")
    assert single == pytest.approx(loss, rel=1e-6)
    torch.testing.assert_close(gradient_single.double(), gradient, rtol=1e-6, atol=1e-6)
    # the gradient sums to 0, since a shift of all log-hazards changes nothing
    assert abs(gradient.sum().item()) < 1e-9


def test_absurd_log_hazards_stay_finite():
    _, time, event = cohort(50, 6)
    loss, gradient = value_and_gradient(torch.linspace(-5000, 5000, 50), time, event)
    assert np.isfinite(loss)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("n", [1, 5])
def test_no_events_is_zero_with_zero_gradient(n):
    loss, gradient = value_and_gradient(torch.randn(n), np.arange(1.0, n + 1), np.zeros(n, bool))
    assert loss == 0
    assert torch.equal(gradient, torch.zeros(n))


def test_one_patient_who_died():
    loss, gradient = value_and_gradient(torch.tensor([1.7]), [3.0], [True])
    assert loss == pytest.approx(0, abs=1e-7)
    assert gradient.item() == pytest.approx(0, abs=1e-7)


@given(st.integers(2, 40), st.integers(0, 10_000), st.sampled_from(TIES))
@settings(deadline=None)
def test_order_shift_and_clock_do_not_matter(n, seed, ties):
    log_hazard, time, event = cohort(n, seed)
    loss, gradient = value_and_gradient(log_hazard, time, event, ties=ties)
    order = np.random.default_rng(seed).permutation(n)
    again, permuted = value_and_gradient(log_hazard[order], time[order], event[order], ties=ties)
    assert again == pytest.approx(loss, abs=1e-9)
    torch.testing.assert_close(permuted, gradient[order], rtol=0, atol=1e-9)
    assert value_and_gradient(log_hazard + 12.5, time, event, ties=ties)[0] == pytest.approx(loss, abs=1e-9)
    assert value_and_gradient(log_hazard, np.log(time) * 7, event, ties=ties)[0] == pytest.approx(loss, abs=1e-12)


@pytest.mark.parametrize("ties", TIES)
def test_strata_are_separate_cohorts(ties):
    log_hazard, time, event = cohort(90, 7)
    strata = np.array(["gbm", "lgg", "x"])[np.random.default_rng(8).choice(3, 90, p=[0.6, 0.35, 0.05])]
    together, gradient = value_and_gradient(log_hazard, time, event, ties=ties, strata=strata, reduction="sum")
    apart = 0.0
    for stratum in np.unique(strata):
        rows = strata == stratum
        loss, part = value_and_gradient(log_hazard[rows], time[rows], event[rows], ties=ties, reduction="sum")
        apart += loss
        torch.testing.assert_close(gradient[rows], part, rtol=1e-12, atol=1e-14)
    assert together == pytest.approx(apart, rel=1e-12)
    mean, _ = value_and_gradient(log_hazard, time, event, ties=ties, strata=strata)
    assert mean == pytest.approx(together / event.sum(), rel=1e-12)


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("stratified", [False, True])
def test_stacked_is_one_by_one(ties, stratified):
    sizes, n = [30, 12, 1, 25], 30
    time, event, mask = np.zeros((4, n)), np.zeros((4, n), bool), np.zeros((4, n), bool)
    log_hazard = torch.full((4, n), torch.nan, dtype=torch.float64)  # padding may hold anything
    strata = np.random.default_rng(9).integers(0, 3, (4, n))
    rng = np.random.default_rng(10)
    for k, size in enumerate(sizes):
        places = rng.permutation(n)[:size]  # padding may lie anywhere
        mask[k, places] = True
        log_hazard[k, places], time[k, places], event[k, places] = cohort(size, k, months=8)
    event[3] = False
    event[~mask] = True  # an event of nobody is no event
    sets = RiskSets.build(time, event, mask=mask, strata=strata if stratified else None)
    stacked = log_hazard.clone().requires_grad_()
    losses = cox_loss(stacked, sets, ties=ties)
    losses.sum().backward()
    share = shares(log_hazard, sets)
    for k in range(4):
        m = mask[k]
        label = strata[k, m] if stratified else None
        loss, gradient = value_and_gradient(log_hazard[k, m], time[k, m], event[k, m], strata=label, ties=ties)
        assert losses[k].item() == pytest.approx(loss, rel=1e-12, abs=1e-14)
        torch.testing.assert_close(stacked.grad[k, m], gradient, rtol=1e-10, atol=1e-14)
        alone = RiskSets.build(time[k, m], event[k, m], strata=label)
        torch.testing.assert_close(share[k, m], shares(log_hazard[k, m][None], alone)[0], rtol=1e-12, atol=0)
        assert torch.equal(stacked.grad[k, ~m], torch.zeros(int((~m).sum()), dtype=torch.float64))


def test_a_row_without_events_beside_one_with():
    log_hazard, time, event = cohort(20, 11)
    stacked = torch.stack([log_hazard, log_hazard]).requires_grad_()
    sets = RiskSets.build(np.stack([time, time]), np.stack([event, np.zeros(20, bool)]))
    losses = cox_loss(stacked, sets)
    losses.sum().backward()
    assert losses[1] == 0
    assert torch.equal(stacked.grad[1], torch.zeros(20, dtype=torch.float64))
    assert losses[0].item() == cox_partial_likelihood(log_hazard, time, event).item()


def test_shares_by_hand():
    # R(1) = all, R(2) = {b, c}; weights 1, 2, 4
    log_hazard = torch.log(torch.tensor([[1.0, 2.0, 4.0]]))
    sets = RiskSets.build([1.0, 2.0, 3.0], [True, True, True])
    torch.testing.assert_close(shares(log_hazard, sets), torch.tensor([[1 / 7, 2 / 6, 1.0]], dtype=torch.float64))
    without = shares(log_hazard, sets, drop_alone=True)
    torch.testing.assert_close(without, torch.tensor([[1 / 7, 2 / 6, 0.0]], dtype=torch.float64))
    literal = shares(log_hazard, sets, literal=True)
    expected = torch.tensor([[0.0, np.log(2) / 6, np.log(4) / 4]], dtype=torch.float64)
    torch.testing.assert_close(literal, expected, atol=1e-7, rtol=1e-7)


def test_shares_are_stable_and_ignore_a_shift():
    log_hazard, time, event = cohort(60, 12)
    sets = RiskSets.build(time, event)
    torch.testing.assert_close(shares(log_hazard[None] + 400, sets), shares(log_hazard[None], sets))
    extreme = shares(300 * torch.sign(log_hazard)[None], sets)
    assert extreme.isfinite().all()
    assert extreme.max() <= 1
    assert torch.equal(extreme[0, ~torch.tensor(event)], torch.zeros(int((~event).sum()), dtype=torch.float64))


def test_half_precision_gives_a_single_precision_loss():
    log_hazard, time, event = cohort(40, 13)
    half = log_hazard.bfloat16().requires_grad_()
    loss = cox_partial_likelihood(half, time, event)
    loss.backward()
    assert loss.dtype == torch.float32
    assert half.grad.dtype == torch.bfloat16
    assert loss.item() == pytest.approx(cox_partial_likelihood(half.detach().double(), time, event).item(), rel=1e-6)


def test_second_derivatives_are_refused():
    log_hazard, time, event = cohort(10, 14)
    log_hazard.requires_grad_()
    with pytest.raises(RuntimeError, match="first derivatives only"):
        torch.autograd.grad(cox_partial_likelihood(log_hazard, time, event), log_hazard, create_graph=True)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"time": [1.0, np.nan, 2.0]}, "1 times are not finite, for example nan"),
        ({"event": [0, 1, 2]}, "an event is 2"),
        ({"event": [True, False]}, "event has the shape"),
        ({"log_hazard": torch.zeros(3, 1)}, r"shape \(3, 1\)"),
        ({"log_hazard": torch.zeros(4)}, r"shape \(1, 4\), the risk sets \(1, 3\)"),
        ({"ties": "exact"}, "ties='exact'"),
    ],
)
def test_refusals_are_sentences(change, says):
    good = {"log_hazard": torch.zeros(3), "time": [1.0, 2.0, 3.0], "event": [True, False, True]}
    with pytest.raises(ValueError, match=says):
        cox_partial_likelihood(**(good | change))


@pytest.mark.gpu
def test_gpu_equals_cpu():
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    log_hazard, time, event = cohort(500, 15)
    sets = RiskSets.build(time, event)
    on_gpu = cox_loss(log_hazard[None].cuda(), sets.to("cuda"))
    torch.testing.assert_close(on_gpu.cpu(), cox_loss(log_hazard[None], sets), rtol=1e-10, atol=0)
