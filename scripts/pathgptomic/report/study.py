"""Everything that the report of one cohort speaks about, read once from the files of the earlier stages."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pathgptomic.cohort.tables import read_audit, read_flow, read_patients, read_splits
from pathgptomic.report.sources import read_table
from pathgptomic.report.wording import JOINED, missing

FOLDS, PATIENTS = "nadeau-bengio", "bootstrap"  # the two tests of comparisons.tsv
POOLED = "pooled"
MEAN = "mean"


@dataclass(frozen=True)
class Study:
    """The tables and settings behind one report.

    Attributes
    ----------
    title
        Name of the cohort for people.
    catalogue
        Model -> what it is, see `catalogue.py`; the first is the one that the report is about.
    patients, splits, flow
        The cohort's tables.
    audit
        Findings of the label audit.
    summary, metrics, comparisons, risk_groups, balance
        Tables of the evaluation; `summary` is indexed by model.
    methods
        Definitions and settings of the evaluation (methods.json).
    cohort
        Settings of the cohort file.
    in_sample_images
        Whether the image inputs of training patients come from a network that was trained on them.
    """

    title: str
    catalogue: Mapping[str, Mapping[str, Any]]
    patients: pd.DataFrame
    splits: pd.DataFrame
    flow: pd.DataFrame
    audit: Sequence[Mapping[str, Any]]
    summary: pd.DataFrame
    metrics: pd.DataFrame
    comparisons: pd.DataFrame
    risk_groups: pd.DataFrame
    balance: pd.DataFrame
    methods: Mapping[str, Any]
    cohort: Mapping[str, Any]
    in_sample_images: bool = False

    @property
    def headline(self) -> str:
        """The model that the report is about."""
        return next(iter(self.catalogue))

    @property
    def level(self) -> str:
        """What the intervals cover, as in '95 %'."""
        return f"{100 * (1 - self.methods['settings']['alpha']):g}{JOINED}%"

    def reference(self, key: str) -> str:
        """Return the name of a reference model (``clinical``, ``late_fusion``), empty where the cohort lacks it."""
        name = self.methods["settings"]["references"].get(key, "")
        return name if name in self.summary.index else ""

    def name(self, model: str) -> str:
        """Return a model's title."""
        return str(self.summary.loc[model, "title"])

    def fold_values(self, model: str, metric: str) -> np.ndarray:
        """Return a metric of a model in each fold (seeds averaged), in the order of the folds, shape (F,)."""
        table = self.metrics
        chosen = table[
            (table["model"] == model)
            & (table["metric"] == metric)
            & (table["seed"] == MEAN)
            & (table["subset"] == "")
            & (table["fold"] != POOLED)
        ]
        return chosen.set_index(chosen["fold"].astype(int))["value"].sort_index().to_numpy(float)

    def comparison(self, model: str, against: str, metric: str = "harrell_c") -> Mapping[str, Any] | None:
        """Return the comparison over folds, that over pooled patients where folds allow no test, or None."""
        table = self.comparisons
        chosen = table[(table["model"] == model) & (table["against"] == against) & (table["metric"] == metric)]
        for test in (FOLDS, PATIENTS):
            rows = chosen[chosen["test"] == test].to_dict("records")
            if rows and not missing(rows[0]["p"]):
                return rows[0]
        return None


def read_study(
    files: Mapping[str, str | Path], *, catalogue: Mapping[str, Mapping[str, Any]], cohort: Mapping[str, Any]
) -> Study:
    """Read the files of one cohort.

    Parameters
    ----------
    files
        Of the cohort: ``patients``, ``splits``, ``flow``, ``audit``, and ``splits_audit`` where there is one; of the
        evaluation: ``summary``, ``metrics``, ``comparisons``, ``risk_groups``, ``methods``, ``balance``; ``bags`` (the
        facts of the bags, json) where the cohort has slides.
    catalogue
        See `catalogue.py`.
    cohort
        Settings of the cohort file.
    """
    summary = read_table(files["summary"]).set_index("model", drop=False)
    audits = [files[name] for name in ("audit", "splits_audit") if name in files]
    return Study(
        title=str(cohort["title"]),
        catalogue={name: facts for name, facts in catalogue.items() if name in summary.index},
        patients=read_patients(files["patients"], cohort["covariates"]),
        splits=read_splits(files["splits"]),
        flow=read_flow(files["flow"]),
        audit=[finding for path in audits for finding in read_audit(path)],
        summary=summary,
        metrics=read_table(files["metrics"]),
        comparisons=read_table(files["comparisons"]),
        risk_groups=read_table(files["risk_groups"]),
        balance=read_table(files["balance"]),
        methods=_read_json(files["methods"]),
        cohort=cohort,
        in_sample_images="bags" in files and bool(_read_json(files["bags"])["in_sample_train"]),
    )


def _read_json(path: str | Path) -> Any:
    return json.loads(Path(path).read_text(encoding="utf-8"))
