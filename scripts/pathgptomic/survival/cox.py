"""Cox partial likelihood, exact on whole cohorts, for one network or for K stacked ones.

A loss is one gather, one cumulative sum and a gather back over risk sets that are worked out once
(``risk_sets.py``), with an analytic gradient; inside it is double precision.

References
----------
Cox, J. R. Stat. Soc. B 34 (1972) 187. Breslow, Biometrics 30 (1974) 89. Efron, J. Am. Stat. Assoc. 72 (1977) 557.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pathgptomic.survival.risk_sets import RiskSets

TIES = ("efron", "breslow")
REDUCTIONS = ("mean", "sum")
# keeps the loss finite where log-hazards are further apart than double precision reaches (about 690)
SMALLEST = 1e-300


def cox_loss(log_hazard: Tensor, risk_sets: RiskSets, *, ties: str = "efron", reduction: str = "mean") -> Tensor:
    """Return the negative log partial likelihood of each of K cohorts, [K].

    Parameters
    ----------
    log_hazard
        [K, n], any floating type; padding may hold any value and gets no gradient.
    risk_sets
        ``RiskSets.build`` of the same K cohorts.
    ties
        ``efron`` or ``breslow``; they differ only where deaths share a time.
    reduction
        ``mean`` over the events of each cohort, or ``sum``.

    Returns
    -------
    Tensor
        In the type of `log_hazard`, at least float32. A cohort without events has loss 0 and gradient 0.

    Raises
    ------
    ValueError
        If the shapes differ or an option is unknown.

    Notes
    -----
    Exact while the log-hazards of a cohort lie within 690 of each other. First derivatives only.
    """
    _check(log_hazard, risk_sets)
    if ties not in TIES or reduction not in REDUCTIONS:
        raise ValueError(f"ties={ties!r}, reduction={reduction!r}: use one of {TIES} and one of {REDUCTIONS}")
    efron = ties == "efron" and risk_sets.tied
    rows = log_hazard if risk_sets.index is None else log_hazard.reshape(-1)[risk_sets.index]
    loss = _PartialLikelihood.apply(rows, risk_sets, efron, reduction == "mean")
    if risk_sets.cohort is not None:
        loss = loss.new_zeros(len(log_hazard)).index_add(0, risk_sets.cohort, loss)
    return loss


def cox_partial_likelihood(
    log_hazard: Tensor, time, event, *, ties: str = "efron", strata=None, reduction: str = "mean"
) -> Tensor:
    """Return the negative log partial likelihood of one cohort, a scalar; see :func:`cox_loss`.

    Parameters
    ----------
    log_hazard
        [n].
    time, event, strata
        [n], see :meth:`RiskSets.build`.
    """
    if log_hazard.dim() != 1:
        raise ValueError(f"log_hazard has the shape {tuple(log_hazard.shape)}: give one number a patient, shape (n,)")
    risk_sets = RiskSets.build(time, event, strata=strata).to(log_hazard.device)
    return cox_loss(log_hazard[None], risk_sets, ties=ties, reduction=reduction)[0]


@torch.no_grad()
def shares(log_hazard: Tensor, risk_sets: RiskSets, *, drop_alone: bool = False, literal: bool = False) -> Tensor:
    """Return each event's share of its risk set, exp(h_k) / sum_{j in R(t_k)} exp(h_j), as float64 [K, n].

    The sum over a row is the branch score s of Path-GPTOmic's rho (eq. (5) with the exp() that it lacks); rows without
    an event hold 0. No gradient.

    Parameters
    ----------
    log_hazard
        [K, n], of one branch.
    risk_sets
        ``RiskSets.build`` of the same K cohorts.
    drop_alone
        Give 0 to an event that is alone in its risk set: its share is 1 in every branch and says nothing.
    literal
        Eq. (5) as printed: h_k instead of exp(h_k) in the numerator, so signed and unbounded. For comparison only.
    """
    _check(log_hazard, risk_sets)
    rows = log_hazard if risk_sets.index is None else log_hazard.reshape(-1)[risk_sets.index]
    weight, of_events, largest = _weights(rows, risk_sets)
    at_risk = weight.gather(1, risk_sets.order).cumsum_(1).gather(1, risk_sets.last).clamp_min_(SMALLEST)
    numerator = (of_events + largest) * torch.exp(-largest) if literal else of_events.exp()
    share = numerator / at_risk
    used = risk_sets.last > 0 if drop_alone else torch.ones_like(share, dtype=torch.bool)
    if risk_sets.real is not None:
        used = used & risk_sets.real
    share = torch.where(used, share, 0.0)
    by_patient = torch.zeros_like(weight).scatter_add_(1, risk_sets.patient, share)
    if risk_sets.index is None:
        return by_patient
    return (
        by_patient.new_zeros(log_hazard.numel())
        .index_add_(0, risk_sets.index.reshape(-1), by_patient.reshape(-1))
        .view(log_hazard.shape)
    )


class _PartialLikelihood(torch.autograd.Function):
    """Loss of each row; the gradient is worked out with it, since both need the same risk-set sums."""

    @staticmethod
    def forward(ctx, rows: Tensor, sets: RiskSets, efron: bool, mean: bool) -> Tensor:
        weight, of_events, _ = _weights(rows, sets)
        at_risk = weight.gather(1, sets.order).cumsum_(1).gather(1, sets.last)  # [R, E]
        if efron:
            # the r-th of d tied deaths has r / d of their summed weight already gone
            dying = of_events.exp()
            if sets.real is not None:
                dying *= sets.real
            tied = torch.zeros_like(dying).scatter_add_(1, sets.group, dying).gather(1, sets.group)
            at_risk -= tied.mul_(sets.rank)
        at_risk.clamp_min_(SMALLEST)
        terms = at_risk.log().sub_(of_events)
        loss = (terms if sets.real is None else torch.where(sets.real, terms, 0.0)).sum(1)
        if mean:
            loss *= sets.scale
        if ctx.needs_input_grad[0]:
            inverse = at_risk.reciprocal_()
            if sets.real is not None:
                inverse *= sets.real
            gone = inverse.new_zeros(len(inverse), inverse.shape[1] + 1)
            torch.cumsum(inverse, 1, out=gone[:, 1:])
            gradient = gone.gather(1, sets.events_until).mul_(weight).sub_(sets.event)
            if efron:
                held = torch.zeros_like(inverse).scatter_add_(1, sets.group, inverse.mul_(sets.rank))
                gradient.scatter_add_(1, sets.patient, held.gather(1, sets.group).mul_(dying).neg_())
            ctx.save_for_backward(gradient)
            ctx.scale, ctx.dtype = sets.scale if mean else None, rows.dtype
        return loss.to(torch.promote_types(rows.dtype, torch.float32))

    @staticmethod
    def backward(ctx, loss_gradient: Tensor) -> tuple:
        if torch.is_grad_enabled():  # create_graph=True; torch's own guard costs as much as the loss itself at n = 100
            raise RuntimeError("the Cox loss has first derivatives only: differentiate it without create_graph")
        (gradient,) = ctx.saved_tensors
        factor = loss_gradient if ctx.scale is None else loss_gradient * ctx.scale
        return (gradient * factor[:, None]).to(ctx.dtype), None, None, None


def _weights(rows: Tensor, sets: RiskSets) -> tuple[Tensor, Tensor, Tensor]:
    """Return exp(h - largest) of all [R, m], h - largest of the events [R, E], and the row's largest h [R, 1]."""
    value = rows.double()
    if sets.mask is None:
        largest = value.amax(1, keepdim=True)
        centred = value - largest
    else:
        largest = value.masked_fill(~sets.mask, -torch.inf).amax(1, keepdim=True)
        centred = (value - largest).masked_fill_(~sets.mask, -torch.inf)
    of_events = centred.gather(1, sets.patient)
    return centred.exp_(), of_events, largest


def _check(log_hazard: Tensor, risk_sets: RiskSets) -> None:
    if tuple(log_hazard.shape) != risk_sets.shape:
        raise ValueError(f"log_hazard has the shape {tuple(log_hazard.shape)}, the risk sets {risk_sets.shape}")
