"""Balanced training: how far each branch of a fusion network may step, judged from how well it already ranks events.

A strategy is a pure function of one :class:`Step` to one :class:`Modulation`. All tensors carry the K stacked networks
in their first dimension; branches are named. The functions that act on parameters are in ``modulate.py``.

More than two branches: every published rule compares two. Here a branch is compared with the mean of the others,
rho_m = s_m / mean_{j != m} s_j, which for two branches is the paper's rho and its reciprocal.

References
----------
Path-GPTOmic, ISBI 2024, arXiv 2403.11375, eqs. (5)-(8). OGM and OGM-GE: Peng et al., CVPR 2022. MMPareto: Wei and Hu,
ICML 2024. AGM: Li et al., ICCV 2023.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

Branches = dict[str, Tensor]

RHO = ("softmax_share", "literal", "aux_loss")
AGGREGATE = ("sum_events", "mean")
APPLY_TO = ("lr", "update", "grad")


@dataclass(frozen=True)
class BalanceSettings:
    """Settings of balanced training.

    Attributes
    ----------
    strategy
        A key of :data:`STRATEGIES`.
    rho
        ``softmax_share``: eq. (5) with the exp() that its numerators lack. ``literal``: eq. (5) as printed, whose
        signed numerators make rho negative in about a third of all batches (the coefficient is then 1). ``aux_loss``:
        ratio of the losses of auxiliary heads, one a branch.
    aggregate
        From one rho an event to one a step: ``sum_events``, ratio of sums over the events; ``mean``, geometric mean of
        the events' ratios (geometric, so that eq. (6), rho^P = 1 / rho^G, still holds).
    apply_to
        ``lr``: the whole step of the branch, weight decay included, as eqs. (7)-(8) scale the learning rate.
        ``update``: the part of the step that the loss causes, weight decay in full. ``grad``: the gradient before the
        optimiser, as OGM does with SGD; Adam divides a constant factor out again.
    alpha
        Strength of ``ogm``, ``ogm-ge`` (default 0.3) and ``agm`` (default 0.2); the others have none.
    auxiliary_weight
        Weight of the branches' own Cox losses (default 0.5 for ``auxiliary``, otherwise 0). With weight 0 an auxiliary
        head that a strategy needs is trained on detached embeddings: it measures and does not teach. ``mmpareto``
        finds its own weights.
    start_epoch, end_epoch
        First and last epoch with modulation, counted from 1; None: to the end.
    """

    strategy: str = "path-gptomic"
    rho: str = "softmax_share"
    aggregate: str = "sum_events"
    apply_to: str = "lr"
    alpha: float | None = None
    auxiliary_weight: float | None = None
    start_epoch: int = 1
    end_epoch: int | None = None

    def __post_init__(self) -> None:
        for name, allowed in (
            ("strategy", tuple(STRATEGIES)),
            ("rho", RHO),
            ("aggregate", AGGREGATE),
            ("apply_to", APPLY_TO),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"balance.{name} is {getattr(self, name)!r}: use one of {', '.join(allowed)}")
        if self.rho != "softmax_share" and self.aggregate == "mean":
            raise ValueError(f"balance.aggregate is 'mean' with rho {self.rho!r}: it is defined for softmax_share only")


@dataclass(frozen=True)
class Step:
    """What a strategy may look at; training fills in what ``Strategy.needs`` names.

    Attributes
    ----------
    epoch
        Counted from 1.
    shares
        [K, n] by branch: ``cox.shares`` of the branch's block of the head (always given, rho is always logged); zero on
        rows without an event and on events of patients who lack any of the branches.
    literal
        [K, n] by branch: the same with eq. (5)'s printed numerators (``needs`` "literal").
    auxiliary_loss
        [K] by branch: Cox loss of the branch's auxiliary head ("auxiliary").
    contribution_loss
        [K] by branch: Cox loss of the branch's :func:`contribution` to the joint log-hazard ("contributions").
    gradients
        [K, P] pairs by branch: gradients of the joint and of the auxiliary loss on its parameters ("gradients").
    uniform
        [K, branches]: numbers from each network's own generator ("uniform").
    state
        What the last ``Modulation.state`` was; empty at first.
    """

    epoch: int
    shares: Branches
    literal: Branches | None = None
    auxiliary_loss: Branches | None = None
    contribution_loss: Branches | None = None
    gradients: dict[str, tuple[Tensor, Tensor]] | None = None
    uniform: Tensor | None = None
    state: Branches = field(default_factory=dict)


@dataclass(frozen=True)
class Modulation:
    """What training does with the answer.

    Attributes
    ----------
    coefficients
        [K] by branch: factor on the branch's step (or gradient, see ``BalanceSettings.apply_to``).
    rho
        [K] by branch, for the log: above 1 the branch dominates.
    noise
        Whether Gaussian noise as large as the gradient's own spread is added to the branches' gradients (OGM-GE).
    gradient_weights
        [K] pairs by branch: the branch's gradient is the first times the joint plus the second times the auxiliary
        one. None: the gradient of the training loss as it is.
    state
        To be handed back in the next Step.
    """

    coefficients: Branches
    rho: Branches
    noise: bool = False
    gradient_weights: dict[str, tuple[Tensor, Tensor]] | None = None
    state: Branches = field(default_factory=dict)


@dataclass(frozen=True)
class Strategy:
    """A rule with its settings; call it with a Step."""

    settings: BalanceSettings
    needs: frozenset[str]
    rule: Callable[[Step, Branches, BalanceSettings], Modulation]

    @property
    def auxiliary_weight(self) -> float:
        """Weight of the branches' own Cox losses in the training loss."""
        given = self.settings.auxiliary_weight
        return given if given is not None else 0.5 if self.settings.strategy == "auxiliary" else 0.0

    def __call__(self, step: Step) -> Modulation:
        """Return what to do in this step."""
        rho = _rho(step, self.settings)
        last = self.settings.end_epoch
        if step.epoch < self.settings.start_epoch or (last is not None and step.epoch > last):
            return Modulation(_ones(rho), rho, state=step.state)
        return self.rule(step, rho, self.settings)


def make_strategy(settings: BalanceSettings) -> Strategy:
    """Return the strategy that `settings` describe, with what it needs from training."""
    rule, needs = STRATEGIES[settings.strategy]
    source = {"literal": {"literal"}, "aux_loss": {"auxiliary"}}.get(settings.rho, set())
    auxiliary = {"auxiliary"} if settings.auxiliary_weight else set()
    return Strategy(settings, frozenset(needs) | source | auxiliary, rule)


def compare(scores: Branches) -> Branches:
    """Return each branch's score over the mean of the others', 1 where that is undefined.

    Undefined is 0 / 0: a step without events, or one in which a branch is absent for all of them. The coefficient of
    every branch is then 1.
    """
    if len(scores) == 1:
        return _ones(scores)
    stacked = torch.stack(list(scores.values()))  # [branches, ...]
    ratio = stacked / ((stacked.sum(0) - stacked) / (len(scores) - 1))
    return dict(zip(scores, torch.where(ratio.isfinite(), ratio, 1.0), strict=True))


def suppress(rho: Branches) -> Branches:
    """Return min(1 - tanh(rho - 1), 1), eqs. (7)-(8): 1 up to rho = 1, 0.24 at 2, 0.036 at 3."""
    return {name: (1 - torch.tanh(each - 1)).clamp(max=1) for name, each in rho.items()}


def contribution(full: Tensor, alone: Tensor, without: Tensor, null: Tensor) -> Tensor:
    """Return a branch's Shapley contribution to the log-hazard, all [K, n].

    Mean of what the branch adds to nothing, ``alone - null``, and of what it adds to all others, ``full - without``; a
    branch is taken away by its null (or a zero) embedding. Exact for two branches, as in AGM; for more, the two
    outermost of the coalitions.
    """
    return ((alone - null) + (full - without)) / 2


def _none(step: Step, rho: Branches, settings: BalanceSettings) -> Modulation:
    return Modulation(_ones(rho), rho)


def _path_gptomic(step: Step, rho: Branches, settings: BalanceSettings) -> Modulation:
    return Modulation(suppress(rho), rho)


def _reversed(step: Step, rho: Branches, settings: BalanceSettings) -> Modulation:
    """Suppress the weaker side: if this does as well as the real rule, balance is not what helps."""
    return Modulation(suppress({name: 1 / each for name, each in rho.items()}), rho)


def _random(step: Step, rho: Branches, settings: BalanceSettings) -> Modulation:
    """Deal the real rule's coefficients to the branches at random: the same mean in each step, no aim."""
    coefficients = torch.stack(list(suppress(rho).values()), dim=-1)  # [K, branches]
    dealt = coefficients.gather(-1, step.uniform.argsort(dim=-1))
    return Modulation(dict(zip(rho, dealt.unbind(-1), strict=True)), rho)


def _ogm(step: Step, rho: Branches, settings: BalanceSettings) -> Modulation:
    """1 - tanh(alpha rho) above rho = 1: unlike eq. (7) it jumps there."""
    alpha = 0.3 if settings.alpha is None else settings.alpha
    coefficients = {name: torch.where(each > 1, 1 - torch.tanh(alpha * each), 1.0) for name, each in rho.items()}
    return Modulation(coefficients, rho, noise=settings.strategy == "ogm-ge")


def _mmpareto(step: Step, rho: Branches, settings: BalanceSettings) -> Modulation:
    """Weigh joint and auxiliary gradient equally where they agree, by the min-norm point where they conflict.

    The two weights add up to 2; a mixture shorter than the plain sum is stretched to the sum's length.
    """
    weights = {}
    for name, (joint, auxiliary) in step.gradients.items():
        jj, ja, aa = (joint**2).sum(-1), (joint * auxiliary).sum(-1), (auxiliary**2).sum(-1)  # [K]
        mix = torch.where(ja > 0, 0.5, (aa - ja) / (jj + aa - 2 * ja).clamp_min(1e-30))
        first, second = 2 * mix, 2 * (1 - mix)
        length = (first**2 * jj + 2 * first * second * ja + second**2 * aa).clamp_min(0).sqrt()
        plain = (jj + 2 * ja + aa).clamp_min(0).sqrt()
        stretch = torch.where(length > 1e-6 * plain, (plain / length).clamp_min(1), 1.0)
        weights[name] = (first * stretch, second * stretch)
    return Modulation(_ones(rho), rho, gradient_weights=weights)


def _agm(step: Step, rho: Branches, settings: BalanceSettings) -> Modulation:
    """Slow a branch that is further ahead than it was on average so far, and speed it up where it is less.

    With s_m the loss of the branch's contribution: r_m = exp(mean of the others' s - s_m), tau_m the same of the
    running means of s, coefficient exp(alpha min(tau_m - r_m, 7)). Steps without events do not count.
    """
    alpha = 0.2 if settings.alpha is None else settings.alpha
    losses = step.contribution_loss
    events = sum(loss.abs() for loss in losses.values()) > 0
    count = step.state.get("count", torch.zeros_like(events, dtype=torch.float64)) + events
    running = {name: step.state.get(name, torch.zeros_like(loss)) for name, loss in losses.items()}
    lead, target = _lead(losses), _lead(running)
    counted = events & (count > 1)  # the first step has no past to be compared with
    coefficients = {
        name: torch.where(counted, torch.exp(alpha * (target[name] - lead[name]).clamp(max=7)), 1.0) for name in losses
    }
    state = {name: torch.where(events, each + (losses[name] - each) / count, each) for name, each in running.items()}
    return Modulation(coefficients, rho, state={"count": count, **state})


STRATEGIES: dict[str, tuple[Callable, tuple[str, ...]]] = {
    "none": (_none, ()),
    "path-gptomic": (_path_gptomic, ()),
    "ogm": (_ogm, ()),
    "ogm-ge": (_ogm, ()),
    "auxiliary": (_none, ("auxiliary",)),
    "mmpareto": (_mmpareto, ("auxiliary", "gradients")),
    "agm": (_agm, ("contributions",)),
    "random": (_random, ("uniform",)),
    "reversed": (_reversed, ()),
}


def _rho(step: Step, settings: BalanceSettings) -> Branches:
    if settings.rho == "aux_loss":
        inverse = {name: 1 / loss for name, loss in step.auxiliary_loss.items()}  # a low loss is a strong branch
        return compare(inverse)
    if settings.rho == "literal":
        return compare({name: each.sum(-1) for name, each in step.literal.items()})
    if settings.aggregate == "sum_events":
        return compare({name: each.sum(-1) for name, each in step.shares.items()})
    ratios = compare(step.shares)  # [K, n], 1 on rows without an event: their logarithm adds nothing
    events = sum(each > 0 for each in step.shares.values()).gt(0).sum(-1).clamp_min(1)
    return {name: (each.clamp_min(1e-300).log().sum(-1) / events).exp() for name, each in ratios.items()}


def _lead(losses: Branches) -> Branches:
    stacked = torch.stack(list(losses.values()))
    others = (stacked.sum(0) - stacked) / max(len(losses) - 1, 1)
    return dict(zip(losses, torch.exp(others - stacked), strict=True))


def _ones(like: Branches) -> Branches:
    return {name: torch.ones(each.shape[:1], dtype=each.dtype, device=each.device) for name, each in like.items()}
