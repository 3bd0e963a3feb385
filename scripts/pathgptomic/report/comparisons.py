"""Every model against every baseline: paired, over the folds and over resampled patients, adjusted for their number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from pathgptomic.report.measures import TestPart
from pathgptomic.report.resampling import Pairs, brier_parts, draw_counts
from pathgptomic.report.scores import PooledScores
from pathgptomic.report.settings import EvaluationSettings
from pathgptomic.report.statistics import Estimate, bootstrap_difference, corrected_t, holm, verdict
from pathgptomic.seeds import rng

FOLD_TEST = "nadeau-bengio"
PATIENT_TEST = "bootstrap"
FOLD_METRICS = ("harrell_c", "uno_c", "auc", "ibs")
PATIENT_METRICS = ("harrell_c", "uno_c", "ibs")
SMALLER_IS_BETTER = ("ibs",)
COLUMNS = (
    "model",
    "against",
    "metric",
    "delta",
    "ci_low",
    "ci_high",
    "p",
    "p_adjusted",
    "test",
    "primary",
    "family",
    "folds",
    "minimum_detectable",
    "verdict",
    "note",
)


@dataclass(frozen=True)
class Pair:
    """A comparison of two models; `primary` ones were declared beforehand and are adjusted among themselves."""

    model: str
    against: str
    primary: bool


@dataclass(frozen=True)
class Replicates:
    """A metric on the pooled patients as they are, and in each resample of them, shape (B,)."""

    value: float
    draws: np.ndarray


@dataclass(frozen=True)
class Bootstrap:
    """Resamples of the pooled patients, the same for every model, so that models are compared in pairs.

    The models stay as they were fitted and the weights for follow-up as they were estimated: the intervals answer how
    the metric would vary with other test patients, not with other training patients.
    """

    part: TestPart
    counts: np.ndarray
    uno_pairs: Pairs

    @classmethod
    def of(cls, part: TestPart, settings: EvaluationSettings) -> Bootstrap:
        """Draw the resamples of the pooled patients of `part`."""
        counts = draw_counts(len(part.rows), settings.bootstrap, rng(settings.seed, "bootstrap of pooled patients"))
        weight = np.zeros(len(part.rows))
        counted = part.event & (part.time < part.window.tau)
        if counted.any():
            weight[counted] = part.window.followed(part.time[counted]) ** -2
        return cls(part, counts, Pairs.of(part.time, part.event, weight))

    def replicates(self, scores: PooledScores) -> dict[str, Replicates]:
        """Return the replicates of every metric in `PATIENT_METRICS` of one model."""
        found = {
            metric: Replicates(pairs.concordance(scores.risk), pairs.resampled(scores.risk, self.counts))
            for metric, pairs in (("harrell_c", self.part.pairs), ("uno_c", self.uno_pairs))
        }
        found["ibs"] = self._brier(scores)
        return found

    def _brier(self, scores: PooledScores) -> Replicates:
        window = self.part.window
        if not scores.has_survival or len(window.days) == 0:
            return Replicates(np.nan, np.full(len(self.counts), np.nan))
        time, event = window.test["time"], window.test["event"]
        parts = brier_parts(
            scores.survival(window.days),
            time,
            event,
            days=window.days,
            followed=window.followed(time),
            followed_at=window.followed(window.days),
        )
        return Replicates(float(parts.mean()), self.counts @ parts / len(parts))


def compare(
    pairs: list[Pair],
    *,
    fold_values: Mapping[tuple[str, str], np.ndarray],
    replicates: Mapping[str, Mapping[str, Replicates]],
    ratio: float,
    settings: EvaluationSettings,
) -> pd.DataFrame:
    """Return `comparisons.tsv`.

    Parameters
    ----------
    pairs
        Each is a member of one of two families that Holm's adjustment is made over, per metric and test: the primary
        comparisons, and all others.
    fold_values
        Metric of a model in each fold, keyed (model, metric), shape (F,).
    replicates
        Bootstrap replicates, keyed by model and metric.
    ratio
        n_test / n_train.
    """
    rows = [
        {**asdict(pair), "metric": metric, "test": test, **_columns(estimate)}
        for pair in pairs
        for test, metric, estimate in _estimates(pair.model, pair.against, fold_values, replicates, ratio, settings)
    ]
    table = pd.DataFrame(rows, columns=[name for name in COLUMNS if name not in ("p_adjusted", "family", "verdict")])
    families = table.groupby(["metric", "test", "primary"])["p"]
    table["p_adjusted"] = families.transform(lambda p: pd.Series(holm(p.to_numpy()), p.index))
    table["family"] = families.transform("count").astype(int)
    table["verdict"] = [
        verdict(row.delta, row.p_adjusted, alpha=settings.alpha, larger_is_better=row.metric not in SMALLER_IS_BETTER)
        for row in table.itertuples()
    ]
    return table[list(COLUMNS)]


def _estimates(model, against, fold_values, replicates, ratio, settings) -> Iterator[tuple[str, str, Estimate]]:
    """Yield test, metric and estimate of one pair."""
    level = {"alpha": settings.alpha, "power": settings.power}
    for metric in FOLD_METRICS:
        difference = fold_values[model, metric] - fold_values[against, metric]
        yield FOLD_TEST, metric, corrected_t(difference, ratio, **level)
    for metric in PATIENT_METRICS:
        first, second = replicates[model][metric], replicates[against][metric]
        yield (
            PATIENT_TEST,
            metric,
            bootstrap_difference(first.value - second.value, first.draws - second.draws, **level),
        )


def _columns(estimate: Estimate) -> dict:
    values = asdict(estimate)
    return {"delta": values.pop("value"), **values}
