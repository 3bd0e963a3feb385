"""The evaluation of all models and baselines of a cohort, from their predictions to the tables of the report."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from pathgptomic.files import atomic
from pathgptomic.report.comparisons import FOLD_METRICS, Bootstrap, Pair, Replicates, compare
from pathgptomic.report.definitions import definitions
from pathgptomic.report.groups import PATIENT_TABLES, patient_tables
from pathgptomic.report.measures import MAIN_METRICS, Measure, TestPart, all_measures, main_measures, training_measures
from pathgptomic.report.predictions import MEAN_SEED, Cohort, Predictions, read_predictions
from pathgptomic.report.scores import PooledScores, fold_scores
from pathgptomic.report.settings import EvaluationSettings
from pathgptomic.report.summary import summarise

logger = logging.getLogger(__name__)

BASELINE = "baseline"
METRIC_COLUMNS = ("model", "kind", "metric", "fold", "seed", "n", "events", "value", "subset", "note")
TABLES = ("metrics", "comparisons", "summary", *PATIENT_TABLES)


@dataclass(frozen=True)
class Evaluation:
    """What the tables are made from, the same for every model."""

    cohort: Cohort
    parts: list[TestPart]
    pooled: TestPart
    bootstrap: Bootstrap
    settings: EvaluationSettings

    @classmethod
    def of(cls, cohort: Cohort, settings: EvaluationSettings) -> Evaluation:
        """Prepare the test parts and the resamples of a cohort."""
        parts = [TestPart.of(cohort, fold, settings) for fold in range(len(cohort.folds))]
        pooled = TestPart.of(cohort, None, settings)
        return cls(cohort, parts, pooled, Bootstrap.of(pooled, settings), settings)


@dataclass(frozen=True)
class Evaluated:
    """The rows of one model."""

    metrics: list[dict]
    patient_tables: dict[str, list[dict]]
    replicates: dict[str, Replicates]


def evaluate_models(
    *,
    predictions: Mapping[str, str | Path],
    models: Mapping[str, Mapping],
    patients: str | Path,
    splits: str | Path,
    settings: EvaluationSettings,
    out: Mapping[str, str | Path],
) -> None:
    """Evaluate every model and baseline of a cohort and write the tables in `out`.

    Parameters
    ----------
    predictions
        `predictions.tsv` of each model and baseline, by name.
    models
        For each of the same names, in the order of the report: ``kind`` (model or baseline), ``title``, ``family``,
        ``with_clinical`` (the same model with clinical variables, where there is one).
    patients, splits
        The cohort's `patients.tsv` and `splits.tsv`.
    out
        Where to write each of `TABLES` (tsv) and ``methods`` (json: definitions and settings in words and numbers).
    """
    for key, reference in settings.references.items():
        if reference not in models:
            logger.warning("reference %s is '%s', which this cohort does not run: its columns are NA", key, reference)
    cohort = Cohort.read(patients, splits, settings.subgroups)
    evaluation = Evaluation.of(cohort, settings)
    evaluated = {}
    for model, facts in tqdm(models.items(), desc="evaluate", unit="model"):
        found = read_predictions(predictions[model], model, cohort)
        evaluated[model] = evaluate_model(found, facts["kind"], evaluation)
    tables = _tables(evaluated, models, evaluation)
    for name, table in tables.items():
        _write_table(out[name], table)
    _write_methods(out["methods"], evaluation, tables["comparisons"])
    logger.info("evaluated %d models on %d patients", len(models), len(evaluation.pooled.rows))


def evaluate_model(predictions: Predictions, kind: str, evaluation: Evaluation) -> Evaluated:
    """Return all rows of one model."""
    cohort, settings = evaluation.cohort, evaluation.settings
    parts = [fold_scores(cohort, predictions.mean, fold) for fold in range(len(cohort.folds))]
    pooled = PooledScores.of(parts, len(cohort.patients))
    rows = []
    for fold, (part, scores) in enumerate(zip(evaluation.parts, parts, strict=True)):
        measures = [
            *all_measures(part, scores, settings),
            *training_measures(part, cohort, predictions.mean, fold),
        ]
        rows += [_row(predictions.model, kind, part.fold, MEAN_SEED, measure) for measure in measures]
        rows += _seed_rows(predictions, kind, part, fold, evaluation, measures)
    rows += [
        _row(predictions.model, kind, evaluation.pooled.fold, MEAN_SEED, measure)
        for measure in all_measures(evaluation.pooled, pooled, settings)
    ]
    tables = patient_tables(
        predictions.model,
        part=evaluation.pooled,
        cohort=cohort,
        risks=predictions.mean,
        parts=parts,
        pooled=pooled,
        settings=settings,
    )
    return Evaluated(rows, tables, evaluation.bootstrap.replicates(pooled))


def comparison_pairs(models: Mapping[str, Mapping], settings: EvaluationSettings) -> list[Pair]:
    """Return every model against every baseline and every reference, and which of these are primary.

    Primary are what the report was set up to answer: the first model against the references, and the same model with
    clinical variables against clinical variables alone. Configuration decides them, before any result.
    """
    against = [name for name, facts in models.items() if facts["kind"] == BASELINE]
    against += [name for name in settings.references.values() if name in models and name not in against]
    subjects = [name for name, facts in models.items() if facts["kind"] != BASELINE]
    headline = next(iter(models), "")
    primary = {(headline, other) for other in settings.references.values()}
    primary.add((models[headline].get("with_clinical", ""), settings.references.get("clinical", "")))
    pairs = [(model, other) for model in subjects for other in against if model != other]
    return [Pair(*pair, primary=pair in primary) for pair in pairs]


def _tables(
    evaluated: Mapping[str, Evaluated], models: Mapping[str, Mapping], evaluation: Evaluation
) -> dict[str, pd.DataFrame]:
    """Return every table by name, from the rows of all models."""
    cohort, settings = evaluation.cohort, evaluation.settings
    metrics = pd.DataFrame([row for one in evaluated.values() for row in one.metrics], columns=METRIC_COLUMNS)
    shared = {
        "replicates": {model: one.replicates for model, one in evaluated.items()},
        "ratio": cohort.ratio(),
        "settings": settings,
    }
    pairs = comparison_pairs(models, settings)
    comparisons = compare(pairs, fold_values=_fold_values(metrics, cohort), **shared)
    summary = summarise(models, metrics=metrics, comparisons=comparisons, **shared)
    tables = {"metrics": metrics, "comparisons": comparisons, "summary": summary}
    for name, columns in PATIENT_TABLES.items():
        rows = pd.DataFrame([row for one in evaluated.values() for row in one.patient_tables[name]])
        tables[name] = rows.reindex(columns=list(dict.fromkeys([*columns, *rows.columns])))
    return tables


def _seed_rows(
    predictions: Predictions, kind: str, part: TestPart, fold: int, evaluation: Evaluation, mean: list[Measure]
) -> Iterator[dict]:
    """Yield the main metrics of every single seed; a single seed is its own mean."""
    for seed, risks in predictions.by_seed.items():
        if len(predictions.by_seed) == 1:
            measures = [measure for measure in mean if measure.metric in MAIN_METRICS]
        else:
            measures = main_measures(part, fold_scores(evaluation.cohort, risks, fold))
        for measure in measures:
            yield _row(predictions.model, kind, part.fold, str(seed), measure)


def _row(model: str, kind: str, fold: str, seed: str, measure: Measure) -> dict:
    return {"model": model, "kind": kind, "fold": fold, "seed": seed, **asdict(measure)}


def _fold_values(metrics: pd.DataFrame, cohort: Cohort) -> dict[tuple[str, str], np.ndarray]:
    chosen = metrics[(metrics["seed"] == MEAN_SEED) & metrics["metric"].isin(FOLD_METRICS)]
    wide = chosen.pivot(index=["model", "metric"], columns="fold", values="value")[[str(f) for f in cohort.folds]]
    return dict(zip(wide.index, wide.to_numpy(float), strict=True))


def _write_table(path: str | Path, table: pd.DataFrame) -> None:
    with atomic(path) as temporary:
        table.to_csv(temporary, sep="\t", index=False, na_rep="NA", float_format="%.10g", lineterminator="\n")


def _write_methods(path: str | Path, evaluation: Evaluation, comparisons: pd.DataFrame) -> None:
    cohort = evaluation.cohort
    content = {
        "patients": len(evaluation.pooled.rows),
        "events": int(evaluation.pooled.event.sum()),
        "folds": len(cohort.folds),
        "test_parts": "partition" if cohort.is_partition() else "overlapping",
        "test_to_train_ratio": cohort.ratio(),
        "windows": {
            part.fold: {
                "patients": len(part.rows),
                "events": int(part.event.sum()),
                "tau_days": part.window.tau,
                "first_day": float(part.window.days[0]) if len(part.window.days) else None,
                "last_day": float(part.window.days[-1]) if len(part.window.days) else None,
            }
            for part in [*evaluation.parts, evaluation.pooled]
        },
        "family_size": {
            f"{metric}, {test}, {'primary' if primary else 'exploratory'}": int(size)
            for (metric, test, primary), size in comparisons.groupby(["metric", "test", "primary"])["family"]
            .first()
            .items()
        },
        "definitions": definitions(evaluation.settings, cohort),
        "settings": asdict(evaluation.settings),
        "versions": {name: version(name) for name in ("lifelines", "scikit-survival", "numpy", "pandas", "scipy")},
    }
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
