"""What a simulated cohort has planted, beside what each model found of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pathgptomic.report.grids import Cell, Column, Grid, Row, value, words
from pathgptomic.report.metrics import Undefined, harrell_c
from pathgptomic.report.study import Study
from pathgptomic.report.wording import number, percent

ADAPTED = "genomics:"  # an adapter's embedding is made of the expression
READ = {"rois": "slides"}  # regions are cut from the slides


@dataclass(frozen=True)
class Planted:
    """The truth of a simulated cohort.

    Attributes
    ----------
    parts
        Part of the log-hazard -> the modality that carries it.
    hazards
        Patients x parts, contributions to the true log-hazard.
    """

    parts: Mapping[str, str]
    hazards: pd.DataFrame

    @classmethod
    def read(cls, truth: str | Path, hazards: str | Path) -> Planted:
        """Read `truth.json` and `true_hazards.tsv` of the simulation."""
        parts = json.loads(Path(truth).read_text(encoding="utf-8"))["parts"]
        table = pd.read_csv(hazards, sep="\t", dtype={"patient_id": str}).set_index("patient_id")
        return cls({name: facts["modality"] for name, facts in parts.items()}, table[list(parts)])

    def c_index(self, study: Study, modalities: Iterable[str]) -> float:
        """Return the mean over the test folds of Harrell's C-index of what was planted in `modalities`."""
        read = {READ.get(each, "expression" if each.startswith(ADAPTED) else each) for each in modalities}
        risk = self.hazards[[part for part, modality in self.parts.items() if modality in read]].sum(axis=1)
        test = study.splits[study.splits["role"] == "test"]
        return float(np.nanmean([_c_index(study.patients, risk, ids) for _, ids in test.groupby("fold")["patient_id"]]))


def planted_grid(study: Study, planted: Planted) -> Grid:
    """Return each model's C-index beside that of the risk that was planted in the data that it reads."""
    rows = []
    for model, facts in study.catalogue.items():
        found, there = study.summary.loc[model, "c_mean"], planted.c_index(study, facts["modalities"])
        share = (found - 0.5) / (there - 0.5) if there > 0.5 else np.nan
        cells = [
            words(study.name(model)),
            value(found),
            value(there),
            Cell(percent(share), None if np.isnan(share) else share),
        ]
        rows.append(Row(cells, tone="main" if model == study.headline else ""))
    columns = [
        Column("Model", numeric=False),
        Column("C-index", help="mean over the test folds"),
        Column(
            "C-index of what was planted", help="of the true contributions of the kinds of data that the model reads"
        ),
        Column("Found", help="share of the way from 0.5 to what was planted"),
    ]
    note = (
        f"The whole true log-hazard has a C-index of {number(whole(study, planted))} on the same test patients; no "
        "model can be expected to do better. A clinical variable can carry a part of what was planted elsewhere (grade "
        "is read off the slide), so clinical models can find more than their own part."
    )
    return Grid("What was planted and what was found", columns, rows, note, sortable=True)


def whole(study: Study, planted: Planted) -> float:
    """Return the C-index of the true log-hazard, mean over the test folds."""
    return planted.c_index(study, planted.parts.values())


def planted_text(study: Study, planted: Planted) -> str:
    """Return one line for the terminal."""
    by_kind = {modality: planted.c_index(study, [modality]) for modality in dict.fromkeys(planted.parts.values())}
    kinds = ", ".join(f"{modality} {number(c)}" for modality, c in by_kind.items())
    return f"Planted: the true log-hazard has C {number(whole(study, planted))} on these test patients ({kinds}).\n"


def _c_index(patients: pd.DataFrame, risk: pd.Series, ids: pd.Series) -> float:
    chosen = patients.loc[ids]
    try:
        return harrell_c(chosen["time_days"].to_numpy(), chosen["event"].to_numpy(), risk[ids].to_numpy())
    except Undefined:
        return np.nan
