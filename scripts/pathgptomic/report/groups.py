"""The patient-level tables of one model: risk groups, their survival curves, calibration, pooled risks."""

from __future__ import annotations

import numpy as np

from pathgptomic.report import curves
from pathgptomic.report.calibration import calibration_rows
from pathgptomic.report.measures import TestPart
from pathgptomic.report.predictions import Cohort, Risks
from pathgptomic.report.scores import POOLED, FoldScores, PooledScores
from pathgptomic.report.settings import EvaluationSettings

PATIENT_TABLES = {
    "risk_groups": (
        "model",
        "fold",
        "group",
        "label",
        "n",
        "events",
        "cut_low",
        "cut_high",
        "median_days",
        "hazard_ratio",
        "ci_low",
        "ci_high",
        "p",
        "logrank_p",
    ),
    "survival_curves": (
        "model",
        "group",
        "label",
        "time_days",
        "survival",
        "ci_low",
        "ci_high",
        "at_risk",
        "deaths",
        "left",
    ),
    "calibration": (
        "model",
        "horizon",
        "time_days",
        "group",
        "n",
        "events",
        "at_risk",
        "predicted",
        "observed",
        "ci_low",
        "ci_high",
    ),
    "risks": ("model", "patient_id", "time_days", "event", "folds", "risk", "training_percentile", "group"),
}


def patient_tables(
    model: str,
    *,
    part: TestPart,
    cohort: Cohort,
    risks: Risks,
    parts: list[FoldScores],
    pooled: PooledScores,
    settings: EvaluationSettings,
) -> dict[str, list[dict]]:
    """Return the rows of one model in each of `PATIENT_TABLES`.

    Parameters
    ----------
    model
        Its name.
    part, pooled
        All tested patients, and the model's scores of them.
    cohort, risks
        The cohort and the model's log-hazards (mean over the seeds).
    parts
        The model's scores in each fold.
    """
    return {
        "risk_groups": risk_group_rows(
            model, cohort=cohort, risks=risks, parts=parts, pooled=pooled, settings=settings
        ),
        "survival_curves": survival_curve_rows(model, cohort, pooled, settings),
        "calibration": all_calibration_rows(model, part, pooled, settings),
        "risks": risk_rows(model, cohort, pooled, settings),
    }


def risk_group_rows(
    model: str,
    *,
    cohort: Cohort,
    risks: Risks,
    parts: list[FoldScores],
    pooled: PooledScores,
    settings: EvaluationSettings,
) -> list[dict]:
    """Return the rows of `risk_groups.tsv`: pooled with tests first, then each fold with its frozen cut-offs.

    A patient's group is that of the mean training percentile over the folds in which the patient was tested. Cut-offs
    are quantiles of the cross-fitted training risks of a fold; nothing of the test part moves them.
    """
    if not pooled.has_survival:
        return []
    quantiles = tuple(sorted(settings.risk_group_quantiles))
    rows = _tested_rows(model, cohort, pooled, quantiles, settings.alpha)
    for fold, part in enumerate(parts):
        training = risks.inner[fold][np.isfinite(risks.inner[fold])]
        cuts = [np.nan, *np.quantile(training, quantiles), np.nan]
        group = curves.group_of(part.percentile, quantiles)
        for number, label in enumerate(curves.group_labels(len(quantiles) + 1), start=1):
            member = part.rows[group == number]
            rows.append(
                {
                    "model": model,
                    "fold": str(cohort.folds[fold]),
                    "group": number,
                    "label": label,
                    "n": len(member),
                    "events": int(cohort.event[member].sum()),
                    "cut_low": cuts[number - 1],
                    "cut_high": cuts[number],
                }
            )
    return rows


def _tested_rows(
    model: str, cohort: Cohort, pooled: PooledScores, quantiles: tuple[float, ...], alpha: float
) -> list[dict]:
    time, event = cohort.time[pooled.rows], cohort.event[pooled.rows]
    group = curves.group_of(pooled.percentile, quantiles)
    p = curves.logrank_p(time, event, group)
    ratios = curves.hazard_ratios(time, event, group, alpha)
    rows = []
    for number, label in enumerate(curves.group_labels(len(quantiles) + 1), start=1):
        member = group == number
        ratio, low, high, ratio_p = ratios.get(number, (np.nan,) * 4)
        rows.append(
            {
                "model": model,
                "fold": POOLED,
                "group": number,
                "label": label,
                "n": int(member.sum()),
                "events": int(event[member].sum()),
                "cut_low": np.nan,
                "cut_high": np.nan,
                "median_days": curves.kaplan_meier(time[member], event[member]).median() if member.any() else np.nan,
                "hazard_ratio": ratio,
                "ci_low": low,
                "ci_high": high,
                "p": ratio_p,
                "logrank_p": p,
            }
        )
    return rows


def survival_curve_rows(model: str, cohort: Cohort, pooled: PooledScores, settings: EvaluationSettings) -> list[dict]:
    """Return the rows of `survival_curves.tsv`: the Kaplan-Meier curve of each pooled risk group."""
    if not pooled.has_survival:
        return []
    time, event = cohort.time[pooled.rows], cohort.event[pooled.rows]
    group = curves.group_of(pooled.percentile, tuple(sorted(settings.risk_group_quantiles)))
    labels = curves.group_labels(len(settings.risk_group_quantiles) + 1)
    rows = curves.survival_rows(time, event, group, labels, settings.alpha)
    return [{"model": model, **row} for row in rows]


def all_calibration_rows(model: str, part: TestPart, pooled: PooledScores, settings: EvaluationSettings) -> list[dict]:
    """Return the rows of `calibration.tsv`: predicted beside observed survival at each horizon."""
    if not pooled.has_survival:
        return []
    survival = pooled.survival(np.array(list(settings.horizons().values())))
    rows = []
    for column, (name, day) in enumerate(settings.horizons().items()):
        found = calibration_rows(
            survival[:, column],
            part.time,
            part.event,
            day=day,
            groups=settings.calibration_groups,
            alpha=settings.alpha,
        )
        rows += [{"model": model, "horizon": name, "time_days": day, **row} for row in found]
    return rows


def risk_rows(model: str, cohort: Cohort, pooled: PooledScores, settings: EvaluationSettings) -> list[dict]:
    """Return the rows of `risks.tsv`: one tested patient of one model each."""
    horizons = settings.horizons()
    survival = np.full((len(pooled.rows), len(horizons)), np.nan)
    group = np.full(len(pooled.rows), np.nan)
    if pooled.has_survival:
        survival = pooled.survival(np.array(list(horizons.values())))
        group = curves.group_of(pooled.percentile, tuple(sorted(settings.risk_group_quantiles)))
    return [
        {
            "model": model,
            "patient_id": cohort.patients[patient],
            "time_days": cohort.time[patient],
            "event": bool(cohort.event[patient]),
            "folds": int(pooled.tested[place]),
            "risk": pooled.risk[place],
            "training_percentile": pooled.percentile[place],
            "group": group[place],
            **{f"survival_{name}": survival[place, column] for column, name in enumerate(horizons)},
        }
        for place, patient in enumerate(pooled.rows)
    ]
