"""Ridge Cox regression by Newton's method, Efron's ties: small, exact, and fast for a few hundred columns."""

from __future__ import annotations

import numpy as np

from pathgptomic.survival.risk_arrays import arrange


def ridge_cox(
    x: np.ndarray, time: np.ndarray, event: np.ndarray, penalty: float | np.ndarray, *, non_negative: bool = False
) -> np.ndarray:
    """Return the coefficients [p] that minimise the Cox loss plus half the penalised squares.

    Parameters
    ----------
    x
        [n, p], better standardised.
    time, event
        [n].
    penalty
        Factor of beta^2 / 2, one or [p]: the reciprocal of a normal prior's variance. With 0 a column that orders all
        deaths has no finite optimum.
    non_negative
        Keep every coefficient at or above 0.

    Notes
    -----
    With e deaths the Hessian is x' diag(s) x - (P x)' (P x), where P [e, n] holds each death's probabilities over its
    risk set and s their sums over deaths; P x is cheap because e is small.
    """
    n, p = x.shape
    beta, penalty = np.zeros(p), np.broadcast_to(np.asarray(penalty, float), p)
    at_risk, died = risk_matrix(time, event)
    if not len(at_risk):
        return beta

    def value(candidate: np.ndarray) -> tuple[float, np.ndarray]:
        h = x @ candidate
        h = h - h.max()
        weighted = at_risk * np.exp(h)
        total = weighted.sum(axis=1)
        return np.log(total).sum() - died @ h + 0.5 * penalty @ candidate**2, weighted / total[:, None]

    loss, probability = value(beta)
    for _ in range(100):
        expected = probability.sum(axis=0)
        gradient = x.T @ (expected - died) + penalty * beta
        free = (beta > 0) | (gradient < 0) if non_negative else np.ones(p, bool)
        if not free.any() or np.abs(gradient[free]).max() < 1e-7:
            break
        within = x[:, free]
        mean = probability @ within
        hessian = (within * expected[:, None]).T @ within - mean.T @ mean
        hessian[np.diag_indices_from(hessian)] += penalty[free] + 1e-10
        step = np.zeros(p)
        step[free] = np.linalg.solve(hessian, gradient[free])
        for halving in range(30):  # Newton overshoots where deaths are nearly ordered
            candidate = beta - step / 2**halving
            if non_negative:
                candidate = candidate.clip(min=0)
            new, new_probability = value(candidate)
            if new <= loss:
                break
        else:
            break
        done = loss - new < 1e-12 * abs(loss)
        beta, loss, probability = candidate, new, new_probability
        if done:
            break
    return beta


def log_likelihood(log_hazards: np.ndarray, time: np.ndarray, event: np.ndarray) -> np.ndarray:
    """Return the log partial likelihood (Efron) of each column of `log_hazards` [n, m], as [m]."""
    at_risk, died = risk_matrix(time, event)
    centred = log_hazards - log_hazards.max(axis=0, initial=-np.inf)
    return died @ centred - np.log(at_risk @ np.exp(centred)).sum(axis=0)


def risk_matrix(time: np.ndarray, event: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how much each patient counts in each death's risk set, [deaths, n], and who died, [n]."""
    event = np.asarray(event, bool)
    sets = arrange(np.asarray(time, float)[None], event[None], None)
    order, last, patient, group, rank = (sets[name][0] for name in ("order", "last", "patient", "group", "rank"))
    place = np.empty(len(order), int)
    place[order] = np.arange(len(order))
    matrix = (place <= last[:, None]).astype(float)
    # of d tied deaths the r-th finds each of them 1 - r / d present
    mates = group[:, None] == group
    matrix[:, patient] -= mates * rank[:, None]
    return matrix, event.astype(float)
