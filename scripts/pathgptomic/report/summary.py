"""One row a model: what the report's first table shows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pathgptomic.report.comparisons import FOLD_TEST, Replicates
from pathgptomic.report.predictions import MEAN_SEED
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
DIFFERENCE = {
    "": "delta",
    "_low": "ci_low",
    "_high": "ci_high",
    "_p": "p",
    "_p_adjusted": "p_adjusted",
    "_minimum_detectable": "minimum_detectable",
    "_verdict": "verdict",
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
    by_model = dict(iter(metrics.groupby("model", sort=False)))
    rows = []
    for model, facts in models.items():
        row = {"model": model, "kind": facts["kind"]}
        row |= {"title": facts.get("title", model), "family": facts.get("family", "")}
        row |= _values(by_model[model], ratio, settings)
        low, high = percentile_interval(replicates[model]["harrell_c"].draws, settings.alpha)
        row |= {"c_pooled_low": low, "c_pooled_high": high}
        for key, reference in settings.references.items():
            row |= _difference(key, comparisons, model, reference)
        rows.append(row)
    return pd.DataFrame(rows)


def _values(metrics: pd.DataFrame, ratio: float, settings: EvaluationSettings) -> dict:
    """Return a model's own columns from its rows of `metrics.tsv`."""
    mean, fold, whole = metrics["seed"] == MEAN_SEED, metrics["fold"] != POOLED, metrics["subset"] == ""
    folds = metrics[mean & fold & whole].pivot(index="fold", columns="metric", values=["value", "n", "events"])
    pooled = metrics[mean & ~fold & whole].set_index("metric")
    seeds = metrics[~mean & (metrics["metric"] == "harrell_c")].groupby("seed")["value"].mean()
    within = metrics[mean & fold].groupby("subset")["value"].mean()
    c = folds["value"]["harrell_c"].dropna()
    estimate = corrected_t(c.to_numpy(), ratio, alpha=settings.alpha)
    return {
        "patients": pooled.loc["harrell_c", "n"],
        "events": pooled.loc["harrell_c", "events"],
        "folds": estimate.folds,
        "test_patients": folds["n"]["harrell_c"].mean(),
        "test_events": folds["events"]["harrell_c"].mean(),
        "c_mean": estimate.value,
        "c_sd": c.std(),
        "c_ci_low": estimate.ci_low,
        "c_ci_high": estimate.ci_high,
        "ci_method": CI_METHOD if np.isfinite(estimate.ci_low) else estimate.note,
        "seeds": len(seeds),
        "c_seed_sd": seeds.std(),
        **{name: folds["value"][metric].mean() for name, metric in FOLD_MEANS.items()},
        **{f"c_within_{column}": within.get(column, np.nan) for column in settings.subgroups},
        **{name: pooled.loc[metric, "value"] for name, metric in POOLED_VALUES.items()},
    }


def _difference(key: str, comparisons: pd.DataFrame, model: str, reference: str) -> dict:
    """Return the columns of a model's difference in mean C-index to one reference."""
    chosen = comparisons[
        (comparisons["model"] == model)
        & (comparisons["against"] == reference)
        & (comparisons["metric"] == "harrell_c")
        & (comparisons["test"] == FOLD_TEST)
    ]
    found = chosen.iloc[0] if len(chosen) else pd.Series({"verdict": ""})
    return {f"delta_{key}{suffix}": found.get(name, np.nan) for suffix, name in DIFFERENCE.items()}
