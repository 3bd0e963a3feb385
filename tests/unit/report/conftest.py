"""A small study with the files that the report reads, made by the real evaluation from synthetic predictions."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pathgptomic.report.balance_view import summarise_balance
from pathgptomic.report.catalogue import catalogue
from pathgptomic.report.evaluate import TABLES, evaluate_models
from pathgptomic.report.figures_balance import plot_balance
from pathgptomic.report.figures_calibration import plot_calibration
from pathgptomic.report.figures_flow import plot_flow
from pathgptomic.report.figures_forest import plot_forest
from pathgptomic.report.figures_gap import plot_gap
from pathgptomic.report.figures_survival import plot_survival_curves
from pathgptomic.report.html import write_report
from pathgptomic.report.settings import EvaluationSettings
from pathgptomic.seeds import rng
from tests.unit.report.synthetic import write_cohort, write_predictions

NETWORK = {
    "fusion": "concat",
    "predictor": "ensemble",
    "loss": {"ties": "efron", "risk_set": "full"},
    "training": {"optimiser": "adamw", "learning_rate": 0.003, "epochs": 150, "early_stopping": True},
}
JOINT = ["expression", "cnv", "mutations", "slides"]


def network(title: str, modalities: list[str], strategy: str = "none") -> dict:
    return {"title": title, "modalities": modalities, "balance": {"strategy": strategy, "apply_to": "lr"}, **NETWORK}


SURVIVAL = {
    "models": {
        "path-gptomic": network("Path-GPTOmic", JOINT, "path-gptomic"),
        "path-gptomic-clinical": network("Path-GPTOmic with clinical", [*JOINT, "clinical"], "path-gptomic"),
        "unbalanced": network("No balance", JOINT),
        "reversed": network("Control: reversed", JOINT, "reversed"),
        "slides": network("Slides alone", ["slides"]),
        "late-fusion": {"title": "Late fusion", "combine": ["slides", "unbalanced"]},
    },
    "baselines": ["clinical-cox", "elastic-net-omics"],
}
SIGNALS = {  # name -> (signal, further signal on the patients that it was fitted on)
    "path-gptomic": (1.2, 0.5),
    "path-gptomic-clinical": (1.6, 0.5),
    "unbalanced": (1.1, 1.5),
    "reversed": (0.6, 1.5),
    "slides": (0.6, 2.0),
    "late-fusion": (1.1, 0.8),
    "clinical-cox": (1.5, 0.1),
    "elastic-net-omics": (0.9, 0.6),
}
COHORT = {
    "title": "Synthetic cohort",
    "covariates": {"idh": "nominal"},
    "modalities": ["clinical", *JOINT],
    "missing": "drop",
    "splits": {"scheme": "kfold"},
}
AUDIT = [
    {
        "check": "event polarity",
        "status": "pass",
        "detail": "Those who died were followed for less time.",
        "evidence": {},
    },
    {"check": "join: slides", "status": "warn", "detail": "Only 80 of 90 patients have slides.", "evidence": {"n": 80}},
]


@dataclass(frozen=True)
class Run:
    """The files of one cohort of a run, and what the workflow would hand to the report."""

    folder: Path
    catalogue: dict
    cohort: dict

    @property
    def evaluation(self) -> Path:
        return self.folder / "evaluation"

    @property
    def figures(self) -> Path:
        return self.folder / "report" / "figures"

    def files(self) -> dict[str, Path]:
        tables = {name: self.evaluation / f"{name}.tsv" for name in TABLES}
        return tables | {
            "methods": self.evaluation / "methods.json",
            "balance": self.evaluation / "balance.tsv",
            "patients": self.folder / "patients.tsv",
            "splits": self.folder / "splits.tsv",
            "flow": self.folder / "flow.tsv",
            "audit": self.folder / "audit.json",
        }

    def write(self, scratch: Path, **changes) -> str:
        """Write the report with some arguments changed, and return the page; other files go into `scratch`."""
        values = {
            "files": self.files(),
            "figures": self.figures,
            "catalogue": self.catalogue,
            "cohort": self.cohort,
            "model": SURVIVAL["models"].get(next(iter(self.catalogue)), {}),
            "facts": {"Seed": 17},
            "data": [self.folder / "patients.tsv"],
            "benchmarks": self.folder / "benchmarks",
            "inserts": [],
            "slide_pictures": [],
            "out": self.folder / "report" / f"{scratch.name}.html",
            "text": scratch / "summary.txt",
        }
        write_report(**(values | changes))
        return Path((values | changes)["out"]).read_text(encoding="utf-8")


def make_run(folder: Path, survival: dict, *, folds: int = 3, scheme: str = "kfold", cohort: dict = COHORT) -> Run:
    """Make the predictions, evaluate them and draw every figure."""
    models = catalogue(survival)
    run = Run(write_cohort(folder, patients=90, folds=folds, scheme=scheme), models, cohort)
    predictions = {}
    for name in models:
        signal, learnt = SIGNALS[name]
        predictions[name] = write_predictions(folder, name, signal=signal, overfit=learnt)
    files = run.files()
    run.evaluation.mkdir()
    evaluate_models(
        predictions=predictions,
        models=models,
        patients=files["patients"],
        splits=files["splits"],
        settings=EvaluationSettings(bootstrap=100, permutations=5),
        out={name: files[name] for name in (*TABLES, "methods")},
    )
    histories = {name: write_history(folder, name) for name, facts in models.items() if facts["strategy"]}
    summarise_balance(histories=histories, out=files["balance"])
    pd.DataFrame(
        [("clinical.tsv", "patients with a row", 0, 120, 95, ""), ("slides", "no slide", 30, 90, 70, "P0001, P0002")],
        columns=["step", "reason", "dropped", "remaining", "events", "examples"],
    ).to_csv(files["flow"], sep="\t", index=False)
    files["audit"].write_text(json.dumps(AUDIT))
    draw(run)
    return run


def draw(run: Run) -> None:
    """Draw every figure of a run."""
    files, folder = run.files(), run.figures
    plot_forest(
        summary=files["summary"],
        metrics=files["metrics"],
        headline=next(iter(run.catalogue)),
        clinical="clinical-cox",
        out=folder / "forest.svg",
        narrow=folder / "forest_narrow.svg",
    )
    plot_survival_curves(
        curves=files["survival_curves"],
        groups=files["risk_groups"],
        summary=files["summary"],
        out=folder / "survival_curves",
    )
    plot_calibration(calibration=files["calibration"], summary=files["summary"], out=folder / "calibration")
    plot_balance(balance=files["balance"], summary=files["summary"], out=folder / "balance")
    plot_gap(metrics=files["metrics"], catalogue=run.catalogue, out=folder / "gap.svg")
    plot_flow(flow=files["flow"], splits=files["splits"], out=folder / "flow.svg")


def write_history(folder: Path, model: str) -> Path:
    """Write a training history of three folds with three inner networks each; each fold stops at its own epoch."""
    generator = rng(0, "synthetic history", model)
    rows = []
    for fold in (1, 2, 3):
        for inner in range(4):
            for epoch in range(1, 10 + 5 * fold):
                rise = 0.4 * (1 - np.exp(-epoch / 8)) + generator.normal(0, 0.01)
                for branch in ("", "genomics", "slides"):
                    quantity = "c_inner" if inner else "c_train"
                    rows.append((fold, 1, inner, epoch, quantity, branch, 0.5 + rise * (0.6 if inner else 1.0)))
                    if branch and not inner:
                        rows.append((fold, 1, 0, epoch, "rho", branch, 1.5 if branch == "genomics" else 1 / 1.5))
                        rows.append((fold, 1, 0, epoch, "coefficient", branch, 0.6 if branch == "genomics" else 1.0))
    path = folder / f"{model}.parquet"
    columns = ["fold", "seed", "inner", "epoch", "quantity", "branch", "value"]
    pd.DataFrame(rows, columns=columns).to_parquet(path)
    return path


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Run:
    """Return a complete run of eight models on three folds."""
    return make_run(tmp_path_factory.mktemp("run"), SURVIVAL)


@pytest.fixture(scope="session")
def smallest(tmp_path_factory) -> Run:
    """Return a run of one baseline on one fold, without slides, networks or a reference."""
    survival = {"models": {}, "baselines": ["elastic-net-omics"]}
    cohort = COHORT | {"modalities": ["expression"], "covariates": {}, "missing": "mask"}
    return make_run(tmp_path_factory.mktemp("smallest"), survival, folds=1, scheme="monte-carlo", cohort=cohort)
