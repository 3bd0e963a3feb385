"""All metrics of one model on one test part, in a fixed order, each with its number of patients and deaths."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from pathgptomic.report import metrics
from pathgptomic.report.calibration import calibration_slope, d_calibration
from pathgptomic.report.metrics import Undefined, Window
from pathgptomic.report.predictions import Cohort, Risks
from pathgptomic.report.resampling import Pairs
from pathgptomic.report.scores import POOLED, FoldScores, PooledScores
from pathgptomic.report.settings import EvaluationSettings
from pathgptomic.seeds import rng

MAIN_METRICS = ("harrell_c", "uno_c", "ibs")  # listed for every single seed too
NO_SURVIVAL = "the model has no cross-fitted (inner) risks, from which survival probabilities are made"


@dataclass(frozen=True)
class Measure:
    """One value: a row of `metrics.tsv` without the model, the fold and the seed."""

    metric: str
    n: int
    events: int
    value: float
    subset: str = ""
    note: str = ""


@dataclass(frozen=True)
class TestPart:
    """A test part, the same for every model: its patients' outcomes and everything that does not depend on a model.

    Attributes
    ----------
    fold
        Fold number as text, or ``pooled``.
    rows
        Positions of the patients in the cohort, shape (n,).
    orders
        Permutations for the check with shuffled outcomes, shape (P, n).
    null_brier
        Integrated Brier score of the training part's Kaplan-Meier curve; NaN where it is undefined.
    """

    __test__ = False  # the name is no invitation to pytest

    fold: str
    rows: np.ndarray
    time: np.ndarray
    event: np.ndarray
    levels: dict[str, np.ndarray]
    window: Window
    pairs: Pairs
    orders: np.ndarray
    null_brier: float

    @classmethod
    def of(cls, cohort: Cohort, fold: int | None, settings: EvaluationSettings) -> TestPart:
        """Return the test part at the position `fold`, or that of all tested patients pooled (None)."""
        name = POOLED if fold is None else str(cohort.folds[fold])
        test = cohort.test.any(axis=0) if fold is None else cohort.test[fold]
        train = test if fold is None else cohort.train[fold]
        rows = np.flatnonzero(test)
        window = Window.of(
            train_time=cohort.time[train],
            train_event=cohort.event[train],
            test_time=cohort.time[test],
            test_event=cohort.event[test],
            follow_up_quantile=settings.follow_up_quantile,
        )
        generator = rng(settings.seed, "permuted outcomes", name)
        return cls(
            fold=name,
            rows=rows,
            time=cohort.time[test],
            event=cohort.event[test],
            levels={column: level[test] for column, level in cohort.subgroups.items()},
            window=window,
            pairs=Pairs.of(cohort.time[test], cohort.event[test]),
            orders=np.stack([generator.permutation(len(rows)) for _ in range(settings.permutations)]),
            null_brier=metrics.integrated_brier(window, window.null_survival()) if len(window.days) else np.nan,
        )

    def measure(self, metric: str, function: Callable[..., float], *arguments: object) -> Measure:
        """Return `function` of the arguments as a measure of all patients of this part, NaN where it is undefined."""
        try:
            value, note = function(*arguments), ""
        except Undefined as reason:
            value, note = np.nan, str(reason)
        return Measure(metric, len(self.rows), int(self.event.sum()), value, note=note)


def main_measures(part: TestPart, scores: FoldScores | PooledScores) -> Iterator[Measure]:
    """Yield `MAIN_METRICS`: Harrell's C, Uno's C, integrated Brier score."""
    yield part.measure("harrell_c", metrics.harrell_c, part.time, part.event, scores.risk)
    yield part.measure("uno_c", metrics.uno_c, part.window, scores.risk)
    yield part.measure("ibs", _integrated_brier, part, scores)


def all_measures(part: TestPart, scores: FoldScores | PooledScores, settings: EvaluationSettings) -> Iterator[Measure]:
    """Yield every metric of a model on a test part."""
    main = list(main_measures(part, scores))
    yield from main
    yield part.measure("ipa", _prediction_accuracy, main[-1], part.null_brier)
    yield part.measure("auc", metrics.mean_auc, part.window, scores.risk)
    yield from _aucs(part, scores, settings.horizons())
    yield part.measure("dcal_p", _d_calibration, part, scores, settings.d_calibration_bins)
    yield part.measure("calibration_slope", _slope, part, scores)
    yield from _within(part, scores)
    yield from _permuted(part, scores, settings.alpha)


def training_measures(part: TestPart, cohort: Cohort, risks: Risks, fold: int) -> Iterator[Measure]:
    """Yield the C-index on training rows, in-sample and cross-fitted, and the optimism of the former."""
    values = {}
    for role, risk in (("train", risks.train[fold]), ("inner", risks.inner[fold])):
        rows = np.isfinite(risk)
        time, event = cohort.time[rows], cohort.event[rows]
        try:
            value, note = metrics.harrell_c(time, event, risk[rows]), ""
        except Undefined as reason:
            value, note = np.nan, str(reason) if rows.any() else f"the model has no {role} rows"
        values[role] = Measure(f"harrell_c_{role}", int(rows.sum()), int(event.sum()), value, note=note)
    yield from values.values()
    test = part.measure("", metrics.harrell_c, part.time, part.event, risks.test[fold, part.rows])
    note = values["train"].note or test.note
    yield Measure("optimism", test.n, test.events, values["train"].value - test.value, note=note)


def _integrated_brier(part: TestPart, scores: FoldScores | PooledScores) -> float:
    if not scores.has_survival:
        raise Undefined(NO_SURVIVAL)
    return metrics.integrated_brier(part.window, scores.survival(part.window.checked_days()))


def _prediction_accuracy(brier: Measure, null_brier: float) -> float:
    if not np.isfinite(brier.value):
        raise Undefined(brier.note)
    return 1 - brier.value / null_brier


def _d_calibration(part: TestPart, scores: FoldScores | PooledScores, bins: int) -> float:
    if not scores.has_survival:
        raise Undefined(NO_SURVIVAL)
    return d_calibration(scores.own_survival(part.time), part.event, bins)


def _slope(part: TestPart, scores: FoldScores | PooledScores) -> float:
    if not scores.has_survival:
        raise Undefined(NO_SURVIVAL)
    return calibration_slope(scores.linear(), part.time, part.event)


def _aucs(part: TestPart, scores: FoldScores | PooledScores, horizons: dict[str, float]) -> Iterator[Measure]:
    """Yield the AUC at each horizon."""
    values = metrics.auc_at(part.window, scores.risk, np.array(list(horizons.values())))
    for name, value in zip(horizons, values, strict=True):
        note = "" if np.isfinite(value) else "the horizon is before the first death or after the last day that counts"
        yield Measure(f"auc_{name}", len(part.rows), int(part.event.sum()), float(value), note=note)


def _within(part: TestPart, scores: FoldScores | PooledScores) -> Iterator[Measure]:
    """Yield the C-index within the levels of each subgroup column: all levels together, then one by one."""
    for column, level in part.levels.items():
        known = level != ""
        subsets = {column: known} | {f"{column}={value}": level == value for value in np.unique(level[known])}
        for subset, rows in subsets.items():
            time, event = part.time[rows], part.event[rows]
            try:
                value, note = metrics.within_c(time, event, scores.risk[rows], level[rows]), ""
            except Undefined as reason:
                value, note = np.nan, str(reason)
            yield Measure("harrell_c_within", int(rows.sum()), int(event.sum()), value, subset, note)


def _permuted(part: TestPart, scores: FoldScores | PooledScores, alpha: float) -> Iterator[Measure]:
    """Yield mean and 1 - alpha range of the C-index with outcomes shuffled within the test part."""
    values = part.pairs.permuted(scores.risk, part.orders)
    note = "" if np.isfinite(values).all() else "no comparable pair"
    low, high = np.quantile(values, [alpha / 2, 1 - alpha / 2])
    for metric, value in (("", values.mean()), ("_low", low), ("_high", high)):
        yield Measure(f"harrell_c_permuted{metric}", len(part.rows), int(part.event.sum()), float(value), note=note)
