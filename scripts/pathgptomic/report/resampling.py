"""Concordance and Brier score as sums over pairs and patients, so that thousands of resamples are one matrix product.

The headline metrics come from lifelines and scikit-survival. These forms give the same numbers (tested) for patients
that count several times or not at all, which those libraries cannot do fast enough for a bootstrap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Pairs:
    """The comparable pairs of one set of patients.

    A pair counts if the earlier time is a death, or if the times are equal and exactly one of the two died, who is then
    taken as the earlier; equal risks count a half.

    Attributes
    ----------
    cases
        Positions of the patients who are the earlier one of a pair, shape (k,).
    weight
        Weight of the pair of each case with each patient, 0 where they cannot be compared, shape (k, n).
    """

    cases: np.ndarray
    weight: np.ndarray

    @classmethod
    def of(cls, time: np.ndarray, event: np.ndarray, case_weight: np.ndarray | None = None) -> Pairs:
        """Return the pairs of patients, weighted by the earlier one's `case_weight`; all of shape (n,)."""
        time, event = np.asarray(time, float), np.asarray(event, bool)
        case_weight = np.ones(len(time)) if case_weight is None else np.asarray(case_weight, float)
        cases = np.flatnonzero(event & (case_weight > 0))
        later = time[cases, None] < time[None, :]
        tied = (time[cases, None] == time[None, :]) & ~event[None, :]
        return cls(cases, (later | tied) * case_weight[cases, None])

    def concordance(self, risk: np.ndarray) -> float:
        """Return the concordance of `risk` (n,), larger = earlier death; NaN without a comparable pair."""
        total = self.weight.sum()
        return float((self._half(risk) * self.weight).sum() / total) if total > 0 else np.nan

    def resampled(self, risk: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Return the concordance in each resample, shape (B,); `counts` (B, n) is how often each patient was drawn."""
        concordant = self._half(risk) * self.weight
        drawn = counts[:, self.cases]
        agreeing = np.einsum("bk,bk->b", counts @ concordant.T, drawn)
        with np.errstate(invalid="ignore", divide="ignore"):
            return agreeing / self._totals(counts, drawn)

    def permuted(self, risk: np.ndarray, orders: np.ndarray) -> np.ndarray:
        """Return the concordance with the risks dealt out anew by each row of `orders` (P, n), shape (P,)."""
        return np.array([self.concordance(risk[order]) for order in orders])

    def _half(self, risk: np.ndarray) -> np.ndarray:
        """Return 1 where the case has the larger risk, 1/2 where the risks are equal, else 0, shape (k, n)."""
        risk = np.asarray(risk, float)
        return (np.sign(risk[self.cases, None] - risk[None, :]) + 1) / 2

    def _totals(self, counts: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        return np.einsum("bk,bk->b", counts @ self.weight.T, drawn)


def draw_counts(patients: int, resamples: int, generator: np.random.Generator) -> np.ndarray:
    """Return how often each patient is in each bootstrap resample, shape (resamples, patients)."""
    return generator.multinomial(patients, np.full(patients, 1 / patients), size=resamples).astype(float)


def brier_parts(
    survival: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    *,
    days: np.ndarray,
    followed: np.ndarray,
    followed_at: np.ndarray,
) -> np.ndarray:
    """Return each patient's part of the integrated Brier score, shape (n,); their mean is the score.

    Parameters
    ----------
    survival
        Predicted probability of being alive at each of `days`, shape (n, t).
    time, event
        Outcome, shape (n,).
    days
        Ascending, shape (t,), t > 1.
    followed
        Probability of still being followed at each patient's own time, shape (n,).
    followed_at
        The same at each of `days`, shape (t,).

    References
    ----------
    Graf et al., Assessment and comparison of prognostic classification schemes (1999), Stat Med 18:2529.
    """
    dead = (time[:, None] <= days) & event[:, None]
    alive = time[:, None] > days
    squared = np.where(dead, survival**2 / _positive(followed)[:, None], 0.0)
    squared += np.where(alive, (1 - survival) ** 2 / _positive(followed_at), 0.0)
    return np.trapezoid(squared, days, axis=1) / (days[-1] - days[0])


def _positive(probability: np.ndarray) -> np.ndarray:
    return np.where(probability > 0, probability, np.inf)
