"""One row a model: what the report's first table shows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pathgptomic.report.comparisons import FOLD_TEST, Replicates
from pathgptomic.report.scores import POOLED
from pathgptomic.report.settings import EvaluationSettings
from pathgptomic.report.statistics import corrected_t, percentile_interval

CI_METHOD = "corrected resampled t over folds (Nadeau-Bengio)"
FOLD_MEANS = {
    "uno_c": "uno_c",
    "auc": "auc",
    "ibs": "ibs",
    "ipa": "ipa",
    "c_train": "harrell_c_train",
    "c_inner": "harrell_c_inner",
    "optimism": "optimism",
    "c_permuted": "harrell_c_permuted",
}
POOLED_VALUES = {
    "c_pooled": "harrell_c",
    "uno_c_pooled": "uno_c",
    "auc_pooled": "auc",
    "ibs_pooled": "ibs",
    "ipa_pooled": "ipa",
    "dcal_p": "dcal_p",
    "calibration_slope": "calibration_slope",
    "c_permuted_low": "harrell_c_permuted_low",
    "c_permuted_high": "harrell_c_permuted_high",
}


def summarise(
    models: Mapping[str, Mapping],
    *,
    metrics: pd.DataFrame,
    comparisons: pd.DataFrame,
    replicates: Mapping[str, Mapping[str, Replicates]],
    ratio: float,
    settings: EvaluationSettings,
) -> pd.DataFrame:
    """Return `summary.tsv` from the tables of the evaluation; `models` gives kind, title and family by name."""
    headline = metrics[(metrics["seed"] == "mean") & (metrics["subset"] == "")]
    by_fold = headline[headline["fold"] != POOLED].pivot(index=["model", "metric"], columns="fold", values="value")
    pooled = headline[headline["fold"] == POOLED].set_index(["model", "metric"])
    seeds = metrics[metrics["seed"] != "mean"].groupby("model")["seed"].nunique()
    rows = []
    for model, facts in models.items():
        c = by_fold.loc[(model, "harrell_c")].to_numpy(float)
        estimate = corrected_t(c, ratio, alpha=settings.alpha)
        low, high = percentile_interval(replicates[model]["harrell_c"].draws, settings.alpha)
        finite = c[np.isfinite(c)]
        row = {
            "model": model,
            "kind": facts["kind"],
            "title": facts.get("title", model),
            "family": facts.get("family", ""),
            "patients": pooled.loc[(model, "harrell_c"), "n"],
            "events": pooled.loc[(model, "harrell_c"), "events"],
            "folds": estimate.folds,
            "seeds": seeds[model],
            "c_mean": estimate.value,
            "c_sd": finite.std(ddof=1) if len(finite) > 1 else np.nan,
            "c_ci_low": estimate.ci_low,
            "c_ci_high": estimate.ci_high,
            "ci_method": CI_METHOD if np.isfinite(estimate.ci_low) else estimate.note,
        }
        row |= {name: _mean(by_fold.loc[(model, metric)]) for name, metric in FOLD_MEANS.items()}
        row |= {name: pooled.loc[(model, metric), "value"] for name, metric in POOLED_VALUES.items()}
        row |= {"c_pooled_low": low, "c_pooled_high": high}
        rows.append(row | _differences(model, comparisons, settings))
    return pd.DataFrame(rows)


def _mean(values: pd.Series) -> float:
    values = values.to_numpy(float)
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else np.nan


def _differences(model: str, comparisons: pd.DataFrame, settings: EvaluationSettings) -> dict:
    """Return the columns of a model's difference in mean C-index to each reference."""
    columns = {}
    for key, reference in settings.references.items():
        chosen = comparisons[
            (comparisons["model"] == model)
            & (comparisons["against"] == reference)
            & (comparisons["metric"] == "harrell_c")
            & (comparisons["test"] == FOLD_TEST)
        ]
        found = chosen.iloc[0] if len(chosen) else pd.Series({"verdict": ""})
        names = {
            "": "delta",
            "_low": "ci_low",
            "_high": "ci_high",
            "_p": "p",
            "_p_adjusted": "p_adjusted",
            "_minimum_detectable": "minimum_detectable",
            "_verdict": "verdict",
        }
        columns |= {f"delta_{key}{suffix}": found.get(name, np.nan) for suffix, name in names.items()}
    return columns
