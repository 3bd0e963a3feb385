"""From log-hazards to survival probabilities: one-covariate Cox slope and Breslow's baseline, in plain numpy.

Every model's survival probabilities are made by this one function, so that Brier scores and calibration compare models
and not their habits. Fit it on cross-fitted rows of the training part, never on test rows: in-sample log-hazards
are too extreme, and the slope exists to say by how much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Perfectly ordered rows have no finite slope; one standard deviation then multiplies the hazard by e^10, and no more.
LARGEST_STANDARDISED_SLOPE = 10.0
LARGEST_EXPONENT = 500.0


@dataclass(frozen=True)
class Breslow:
    """Baseline survival of one fitted model.

    Attributes
    ----------
    days
        Distinct times of death in days, ascending, shape (k,).
    cumulative_hazard
        Baseline cumulative hazard just after each of them, of a patient at `centre`, shape (k,).
    slope
        Factor on the log-hazard (1 = as the model says; under 1 = the model is over-confident).
    centre
        Log-hazard at which the baseline stands.
    """

    days: np.ndarray
    cumulative_hazard: np.ndarray
    slope: float
    centre: float

    def hazard_at(self, days: np.ndarray) -> np.ndarray:
        """Return the baseline cumulative hazard at `days`, a right-continuous step function, any shape."""
        steps = np.concatenate([[0.0], self.cumulative_hazard])
        return steps[np.searchsorted(self.days, np.asarray(days, float), side="right")]

    def relative_risk(self, log_hazard: np.ndarray) -> np.ndarray:
        """Return exp(slope * (log_hazard - centre)), shape as given."""
        exponent = self.slope * (np.asarray(log_hazard, float) - self.centre)
        return np.exp(np.clip(exponent, -LARGEST_EXPONENT, LARGEST_EXPONENT))

    def survival(self, log_hazard: np.ndarray, days: np.ndarray) -> np.ndarray:
        """Return the probability of being alive at each of `days` (t,) for each of `log_hazard` (n,), shape (n, t)."""
        return np.exp(-self.relative_risk(log_hazard)[:, None] * self.hazard_at(days)[None, :])

    def to_dict(self) -> dict:
        """Return the baseline as plain JSON types."""
        return {
            "days": self.days.tolist(),
            "cumulative_hazard": self.cumulative_hazard.tolist(),
            "slope": self.slope,
            "centre": self.centre,
        }

    @classmethod
    def from_dict(cls, values: dict) -> Breslow:
        """Return the baseline that `to_dict` wrote."""
        return cls(
            days=np.asarray(values["days"], float),
            cumulative_hazard=np.asarray(values["cumulative_hazard"], float),
            slope=float(values["slope"]),
            centre=float(values["centre"]),
        )


def fit_breslow(log_hazard: np.ndarray, time: np.ndarray, event: np.ndarray, slope: float | None = None) -> Breslow:
    """Fit slope and baseline cumulative hazard of a model's log-hazards.

    Parameters
    ----------
    log_hazard
        Shape (n,), larger = worse; finite.
    time
        Follow-up in days, shape (n,).
    event
        True where the death was observed, shape (n,).
    slope
        Factor on the log-hazard; fitted by `cox_slope` if None, 1 to believe the model's own scale.

    Raises
    ------
    ValueError
        Where a log-hazard or a time is not finite.

    References
    ----------
    Breslow, Contribution to the discussion of Cox (1972), J R Stat Soc B 34:216.
    """
    log_hazard, time, event = _checked(log_hazard, time, event)
    slope = cox_slope(log_hazard, time, event) if slope is None else float(slope)
    centre = float(log_hazard.mean()) if len(log_hazard) else 0.0
    unit = Breslow(np.empty(0), np.empty(0), slope, centre)
    days, deaths = np.unique(time[event], return_counts=True)
    order = np.argsort(time)
    at_risk = np.cumsum(unit.relative_risk(log_hazard[order])[::-1])[::-1]
    first = np.searchsorted(time[order], days, side="left")
    return Breslow(days, np.cumsum(deaths / at_risk[first]), slope, centre)


def cox_slope(log_hazard: np.ndarray, time: np.ndarray, event: np.ndarray) -> float:
    """Return the coefficient of a Cox model (Efron's ties) whose only covariate is the log-hazard.

    0 where nothing can be said (constant log-hazards, no deaths); bounded where the rows are perfectly ordered.

    References
    ----------
    van Houwelingen, Validation, calibration, revision and combination of prognostic survival models (2000),
    Stat Med 19:3401. Efron, The efficiency of Cox's likelihood function for censored data (1977), JASA 72:557.
    """
    log_hazard, time, event = _checked(log_hazard, time, event)
    spread = log_hazard.std() if len(log_hazard) else 0.0
    if not event.any() or spread < 1e-12 * max(1.0, np.abs(log_hazard).max()):
        return 0.0
    order = np.argsort(-time, kind="stable")
    x, time, event = (log_hazard[order] - log_hazard.mean()) / spread, time[order], event[order]
    likelihood = _Likelihood.of(x, time, event)
    beta, value, (gradient, information) = 0.0, *likelihood.at(0.0)
    for _ in range(50):
        step = gradient / max(information, 1e-12)
        for _ in range(30):  # halve until the likelihood rises: Newton overshoots where the rows are nearly ordered
            candidate = float(np.clip(beta + step, -LARGEST_STANDARDISED_SLOPE, LARGEST_STANDARDISED_SLOPE))
            new_value, derivatives = likelihood.at(candidate)
            if new_value >= value - 1e-12 * abs(value):
                break
            step /= 2
        moved = abs(candidate - beta)
        beta, value, (gradient, information) = candidate, new_value, derivatives
        if moved < 1e-9:
            break
    return beta / float(spread)


@dataclass(frozen=True)
class _Likelihood:
    """Efron's partial likelihood of one covariate; rows ordered by falling time."""

    x: np.ndarray  # (n,)
    event: np.ndarray  # (n,)
    group: np.ndarray  # (n,) tie group of each row
    last: np.ndarray  # (n,) last row that is at risk with each row
    share: np.ndarray  # (n,) rank of a death among the deaths of its tie group / their number

    @classmethod
    def of(cls, x: np.ndarray, time: np.ndarray, event: np.ndarray) -> _Likelihood:
        _, group, counts = np.unique(-time, return_inverse=True, return_counts=True)
        last = (np.cumsum(counts) - 1)[group]
        deaths = np.bincount(group, weights=event)
        before = np.cumsum(event) - event
        rank = before - before[last - counts[group] + 1]
        return cls(x, event, group, last, rank / np.maximum(deaths[group], 1))

    def at(self, beta: float) -> tuple[float, tuple[float, float]]:
        """Return the log-likelihood at `beta` and its (gradient, information)."""
        shift = (beta * self.x).max()
        weight = np.exp(beta * self.x - shift)
        dead, x = self.event, self.x
        sums = []
        for power in (weight, weight * x, weight * x**2):
            tied = np.bincount(self.group, weights=power * dead)[self.group]
            sums.append((np.cumsum(power)[self.last] - self.share * tied)[dead])
        mean = sums[1] / sums[0]
        value = float((beta * x[dead] - shift - np.log(sums[0])).sum())
        return value, (float((x[dead] - mean).sum()), float((sums[2] / sums[0] - mean**2).sum()))


def _checked(log_hazard: np.ndarray, time: np.ndarray, event: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    log_hazard, time = np.asarray(log_hazard, float), np.asarray(time, float)
    event = np.asarray(event, bool)
    for name, values in (("log-hazard", log_hazard), ("time", time)):
        bad = ~np.isfinite(values)
        if bad.any():
            raise ValueError(
                f"{int(bad.sum())} of {len(values)} {name} values are not finite (first in row {int(bad.argmax())}); "
                f"remove or repair these rows before survival probabilities are made."
            )
    return log_hazard, time, event
