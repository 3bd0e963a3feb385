"""Balance strategies on numbers worked out by hand, and what scaling a step does that scaling a gradient does not."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pathgptomic.survival.balance import (
    STRATEGIES,
    BalanceSettings,
    Step,
    compare,
    contribution,
    make_strategy,
    suppress,
)
from pathgptomic.survival.cox import shares
from pathgptomic.survival.modulate import add_noise, gradient_spread, scale_gradient, scale_step
from pathgptomic.survival.risk_sets import RiskSets


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


# two networks, three patients (the last without an event): sums 0.6 / 0.3 and 0.2 / 0.4
SHARES = {
    "genomics": torch.tensor([[0.5, 0.1, 0.0], [0.1, 0.1, 0.0]], dtype=torch.float64),
    "slides": torch.tensor([[0.1, 0.2, 0.0], [0.3, 0.1, 0.0]], dtype=torch.float64),
}
AT_2 = 1 - math.tanh(1)  # 0.238


def modulate(strategy: str, *, settings: dict | None = None, **step):
    return make_strategy(BalanceSettings(strategy, **(settings or {})))(Step(**({"epoch": 1, "shares": SHARES} | step)))


def test_rho_is_the_ratio_of_sums_and_its_reciprocal():
    rho = modulate("path-gptomic").rho
    torch.testing.assert_close(rho["genomics"], tensor(2.0, 0.5))
    torch.testing.assert_close(rho["slides"], tensor(0.5, 2.0))


def test_path_gptomic_holds_the_dominant_branch_back():
    coefficients = modulate("path-gptomic").coefficients
    torch.testing.assert_close(coefficients["genomics"], tensor(AT_2, 1.0))
    torch.testing.assert_close(coefficients["slides"], tensor(1.0, AT_2))


def test_reversed_holds_the_weak_branch_back():
    coefficients = modulate("reversed").coefficients
    torch.testing.assert_close(coefficients["genomics"], tensor(1.0, AT_2))
    torch.testing.assert_close(coefficients["slides"], tensor(AT_2, 1.0))


@pytest.mark.parametrize(
    ("rho", "coefficient"),
    [(0.01, 1.0), (1.0, 1.0), (1.1, 0.90), (1.28, 0.73), (1.5, 0.54), (1.7, 0.40), (2.0, 0.24), (3.0, 0.036)],
)
def test_coefficients_of_equation_7(rho, coefficient):
    assert suppress({"m": tensor(rho)})["m"].item() == pytest.approx(coefficient, abs=0.005)


def test_rho_comes_from_the_scores_of_the_cox_loss():
    """One number followed from two patients' log-hazards to the coefficient."""
    sets = RiskSets.build([1.0, 2.0], [True, False])
    step = {name: shares(tensor(h, 0.0)[None], sets) for name, h in {"genomics": 1.0, "slides": -1.0}.items()}
    rho = math.e / (math.e + 1) / (1 / math.e / (1 / math.e + 1))  # share of e against 1, over share of 1/e against 1
    modulation = modulate("path-gptomic", shares=step)
    assert modulation.rho["genomics"].item() == pytest.approx(rho)
    assert modulation.coefficients["genomics"].item() == pytest.approx(1 - math.tanh(rho - 1))


def test_mean_is_geometric_so_that_rho_stays_reciprocal():
    rho = modulate("path-gptomic", settings={"aggregate": "mean"}).rho
    torch.testing.assert_close(rho["genomics"], tensor((5 * 0.5) ** 0.5, (1 / 3) ** 0.5))
    torch.testing.assert_close(rho["genomics"] * rho["slides"], tensor(1.0, 1.0))


def test_literal_numerators_may_be_negative_and_then_change_nothing():
    literal = {"genomics": tensor(-3.0, 6.0)[:, None], "slides": tensor(1.0, 3.0)[:, None]}
    modulation = modulate("path-gptomic", settings={"rho": "literal"}, literal=literal)
    torch.testing.assert_close(modulation.rho["genomics"], tensor(-3.0, 2.0))
    torch.testing.assert_close(modulation.coefficients["genomics"], tensor(1.0, AT_2))
    torch.testing.assert_close(modulation.coefficients["slides"], tensor(1.0, 1.0))


def test_rho_from_auxiliary_losses():
    losses = {"genomics": tensor(2.0), "slides": tensor(4.0)}
    strategy = make_strategy(BalanceSettings("path-gptomic", rho="aux_loss"))
    assert "auxiliary" in strategy.needs
    assert strategy.auxiliary_weight == 0  # they measure, they do not teach
    modulation = strategy(Step(1, SHARES, auxiliary_loss=losses))
    torch.testing.assert_close(modulation.rho["genomics"], tensor(2.0))
    torch.testing.assert_close(modulation.coefficients["genomics"], tensor(AT_2))


@pytest.mark.parametrize("strategy", ["ogm", "ogm-ge"])
def test_ogm_jumps_at_one(strategy):
    modulation = modulate(strategy, settings={"alpha": 0.5})
    torch.testing.assert_close(modulation.coefficients["genomics"], tensor(1 - math.tanh(0.5 * 2), 1.0))
    assert modulation.noise == (strategy == "ogm-ge")


def test_random_deals_the_same_coefficients():
    real = modulate("path-gptomic").coefficients
    uniform = torch.tensor([[0.9, 0.1], [0.1, 0.9]])
    dealt = modulate("random", uniform=uniform).coefficients
    torch.testing.assert_close(dealt["genomics"], tensor(1.0, 1.0))  # dealt anew in the first
    torch.testing.assert_close(dealt["slides"], tensor(AT_2, AT_2))
    torch.testing.assert_close(sum(dealt.values()), sum(real.values()))


def test_auxiliary_adds_supervision_and_nothing_else():
    strategy = make_strategy(BalanceSettings("auxiliary"))
    assert strategy.auxiliary_weight == 0.5
    assert strategy.needs == {"auxiliary"}
    torch.testing.assert_close(strategy(Step(1, SHARES)).coefficients["genomics"], tensor(1.0, 1.0))


def test_mmpareto_adds_where_gradients_agree_and_finds_the_min_norm_point_where_not():
    joint = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    auxiliary = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [-2.0, 0.0]], dtype=torch.float64)
    modulation = modulate("mmpareto", gradients={"genomics": (joint, auxiliary)})
    first, second = modulation.gradient_weights["genomics"]
    assert (first[0].item(), second[0].item()) == (1, 1)
    # conflict: nearest point to 0 between (1, 0) and (-1, 1) is (0.2, 0.4) = 0.6 (1, 0) + 0.4 (-1, 1); doubled it has
    # length 0.894, the plain sum (0, 1) has 1
    stretch = 1 / math.sqrt(0.8)
    assert first[1].item() == pytest.approx(1.2 * stretch)
    assert second[1].item() == pytest.approx(0.8 * stretch)
    mixed = first[1] * joint[1] + second[1] * auxiliary[1]
    assert (mixed @ joint[1]).item() > 0
    assert (mixed @ auxiliary[1]).item() > 0
    # exactly opposite: they cancel, and nothing is stretched to infinity
    assert (first[2] * joint[2] + second[2] * auxiliary[2]).norm().item() == pytest.approx(0, abs=1e-12)


def test_agm_compares_a_branch_with_its_own_past():
    strategy = make_strategy(BalanceSettings("agm", alpha=1.0))
    first = strategy(Step(1, SHARES, contribution_loss={"genomics": tensor(2.0, 0.0), "slides": tensor(3.0, 0.0)}))
    torch.testing.assert_close(first.coefficients["genomics"], tensor(1.0, 1.0))  # no past yet
    losses = {"genomics": tensor(1.0, 2.0), "slides": tensor(3.0, 3.0)}
    second = strategy(Step(1, SHARES, contribution_loss=losses, state=first.state))
    # genomics led by exp(1) and now leads by exp(2): slower; slides fell from exp(-1) to exp(-2): faster
    assert second.coefficients["genomics"][0].item() == pytest.approx(math.exp(math.e - math.e**2))
    assert second.coefficients["slides"][0].item() == pytest.approx(math.exp(math.exp(-1) - math.exp(-2)))
    assert second.coefficients["genomics"][1].item() == 1  # the second network had no event before: still no past
    torch.testing.assert_close(second.state["genomics"], tensor(1.5, 2.0))


def test_contribution_is_the_mean_of_two_marginals():
    full, alone, without, null = tensor(5.0), tensor(3.0), tensor(1.0), tensor(0.5)
    assert contribution(full, alone, without, null).item() == ((3 - 0.5) + (5 - 1)) / 2


def test_three_branches_are_compared_with_the_mean_of_the_others():
    rho = compare({"a": tensor(4.0), "b": tensor(2.0), "c": tensor(2.0)})
    assert [each.item() for each in rho.values()] == pytest.approx([2.0, 2 / 3, 2 / 3])


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize("rho", ["softmax_share", "literal", "aux_loss"])
def test_without_events_nothing_is_held_back(strategy, rho):
    empty = {name: torch.zeros_like(each) for name, each in SHARES.items()}
    zero = {name: tensor(0.0, 0.0) for name in SHARES}
    gradients = {name: (torch.zeros(2, 3), torch.zeros(2, 3)) for name in SHARES}
    modulation = modulate(
        strategy,
        settings={"rho": rho},
        shares=empty,
        literal=empty,
        auxiliary_loss=zero,
        contribution_loss=zero,
        gradients=gradients,
        uniform=torch.rand(2, 2),
    )
    for each in modulation.coefficients.values():
        torch.testing.assert_close(each, tensor(1.0, 1.0))
    for weights in (modulation.gradient_weights or {}).values():
        assert all(weight.isfinite().all() for weight in weights)


def test_one_branch_is_balanced_with_itself():
    modulation = modulate("path-gptomic", shares={"genomics": SHARES["genomics"]})
    torch.testing.assert_close(modulation.coefficients["genomics"], tensor(1.0, 1.0))


@pytest.mark.parametrize(("epoch", "held"), [(1, False), (2, True), (3, True), (4, False)])
def test_first_and_last_epoch_of_modulation(epoch, held):
    modulation = modulate("path-gptomic", settings={"start_epoch": 2, "end_epoch": 3}, epoch=epoch)
    assert (modulation.coefficients["genomics"][0].item() < 1) == held
    assert modulation.rho["genomics"][0].item() == pytest.approx(2)  # logged all the same


@given(st.lists(st.lists(st.floats(1e-6, 1), min_size=4, max_size=4), min_size=2, max_size=4))
def test_coefficients_lie_in_0_1_and_stacking_changes_nothing(rows):
    scores = {f"branch {i}": torch.tensor(row, dtype=torch.float64)[:, None] for i, row in enumerate(rows)}
    together = modulate("path-gptomic", shares=scores).coefficients
    for name, each in together.items():
        assert ((each >= 0) & (each <= 1)).all()
        for k in range(4):
            alone = modulate("path-gptomic", shares={b: s[k : k + 1] for b, s in scores.items()})
            assert alone.coefficients[name].item() == each[k].item()
    assert max(each.max().item() for each in together.values()) == 1  # the weakest is never held back


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"strategy": "ogmm"}, "balance.strategy is 'ogmm': use one of none, path-gptomic"),
        ({"apply_to": "step"}, "balance.apply_to is 'step'"),
        ({"rho": "literal", "aggregate": "mean"}, "defined for softmax_share only"),
    ],
)
def test_refusals_are_sentences(settings, says):
    with pytest.raises(ValueError, match=says):
        BalanceSettings(**settings)


def adam_path(coefficient: float, apply_to: str, steps: int = 5) -> torch.Tensor:
    """Return the updates [steps, K=2, 3] of two stacked networks under Adam, the second of them modulated."""
    target = torch.tensor([1.0, -2.0, 0.5]).double()
    weight = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([weight], lr=0.1)
    factor = tensor(1.0, coefficient)
    updates = []
    for _ in range(steps):
        optimiser.zero_grad()
        ((weight - target) ** 2).sum().backward()
        before = weight.detach().clone()
        if apply_to == "grad":
            scale_gradient([weight], factor)
        optimiser.step()
        if apply_to == "lr":
            scale_step([weight], [before], factor)
        updates.append(weight.detach() - before)
    return torch.stack(updates)


def test_half_a_step_is_half_adams_update():
    first = adam_path(0.5, "lr", steps=1)[0]
    torch.testing.assert_close(first[1], first[0] / 2)
    torch.testing.assert_close(first[0].abs(), torch.full((3,), 0.1, dtype=torch.float64), atol=1e-6, rtol=0)


def test_half_a_gradient_is_no_smaller_update_under_adam():
    path = adam_path(0.5, "grad")
    torch.testing.assert_close(path[:, 1], path[:, 0], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("apply_to", ["lr", "update"])
def test_weight_decay_is_scaled_with_the_learning_rate_or_acts_in_full(apply_to):
    rate, decay = 0.1, 0.2
    start = torch.tensor([[3.0], [3.0]], dtype=torch.float64)
    weight = start.clone().requires_grad_()
    optimiser = torch.optim.AdamW([weight], lr=rate, weight_decay=decay)
    weight.grad = torch.ones_like(weight)
    optimiser.step()
    scale_step([weight], [start], tensor(0.25, 1.0), decay=[rate * decay] if apply_to == "update" else None)
    moved = (weight - start).flatten().tolist()
    loss_part, decay_part = -rate, -rate * decay * 3
    assert moved[1] == pytest.approx(loss_part + decay_part, abs=1e-8)
    share_of_decay = 0.25 if apply_to == "lr" else 1.0
    assert moved[0] == pytest.approx(0.25 * loss_part + share_of_decay * decay_part, abs=1e-8)


def test_coefficients_1_and_0_are_exact():
    old, new = torch.randn(2, 4, 3), torch.randn(2, 4, 3)
    parameter = new.clone()
    scale_step([parameter], [old], torch.tensor([1.0, 0.0]))
    assert torch.equal(parameter[0], new[0])
    assert torch.equal(parameter[1], old[1])


def test_noise_has_the_spread_of_the_gradient_and_each_network_its_own():
    parameter = torch.zeros(2, 200, 100, requires_grad=True)
    scale = torch.tensor([1.0, 5.0])[:, None, None]
    parameter.grad = scale * torch.randn(2, 200, 100, generator=torch.Generator().manual_seed(1))
    before = parameter.grad.clone()
    spread = gradient_spread([parameter])
    add_noise([parameter], spread, [torch.Generator().manual_seed(k) for k in (7, 8)])
    noise = parameter.grad - before
    torch.testing.assert_close(noise.flatten(1).std(dim=1), torch.tensor([1.0, 5.0]), rtol=0.02, atol=0)
    alone = torch.zeros(1, 200, 100, requires_grad=True)
    alone.grad = before[1:].clone()
    add_noise([alone], [spread[0][1:]], [torch.Generator().manual_seed(8)])
    torch.testing.assert_close(alone.grad[0], parameter.grad[1])
