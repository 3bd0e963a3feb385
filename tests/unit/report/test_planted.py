import json

import numpy as np
import pandas as pd
import pytest
from lifelines.utils import concordance_index

from pathgptomic.report.planted import Planted, planted_grid, planted_text
from pathgptomic.report.study import read_study
from pathgptomic.report.wording import number
from tests.unit.report.page import read_page, tables

PARTS = {"cells": "expression", "density": "slides", "age": "clinical"}


@pytest.fixture(scope="module")
def truth(run, tmp_path_factory):
    """The truth of the synthetic cohort: three parts that sum to the log-hazard that its patients died by."""
    folder = tmp_path_factory.mktemp("truth")
    hazard = pd.read_csv(run.folder / "truth.tsv", sep="\t").set_index("patient_id")["log_hazard"]
    generator = np.random.default_rng(4)
    parts = pd.DataFrame({name: generator.normal(0, 0.3, len(hazard)) for name in ("cells", "age")}, hazard.index)
    parts["density"] = hazard - parts.sum(axis=1)
    parts.assign(log_hazard=hazard).to_csv(folder / "true_hazards.tsv", sep="\t")
    facts = {"parts": {name: {"modality": modality} for name, modality in PARTS.items()}}
    (folder / "truth.json").write_text(json.dumps(facts))
    return {"truth": folder / "truth.json", "hazards": folder / "true_hazards.tsv"}


def test_the_planted_risk_of_a_model_is_that_of_the_data_that_it_reads(run, truth):
    study = read_study(run.files(), catalogue=run.catalogue, cohort=run.cohort)
    planted = Planted.read(**truth)
    test = study.splits[study.splits["role"] == "test"]

    def c(*parts: str) -> float:
        risk = planted.hazards[list(parts)].sum(axis=1)
        each = [
            concordance_index(study.patients.loc[ids, "time_days"], -risk[ids], study.patients.loc[ids, "event"])
            for _, ids in test.groupby("fold")["patient_id"]
        ]
        return float(np.mean(each))

    assert planted.c_index(study, ["slides"]) == pytest.approx(c("density"))
    assert planted.c_index(study, ["rois"]) == pytest.approx(c("density"))
    assert planted.c_index(study, ["genomics:mixup", "mutations"]) == pytest.approx(c("cells"))
    rows = {row.cells[0].text: row for row in planted_grid(study, planted).rows}
    assert len(rows) == len(study.catalogue)
    joint = rows[study.name("path-gptomic-clinical")]
    assert joint.cells[2].order == pytest.approx(c("cells", "density", "age"))
    found = study.summary.loc["path-gptomic-clinical", "c_mean"]
    assert joint.cells[3].order == pytest.approx((found - 0.5) / (c("cells", "density", "age") - 0.5))
    assert f"C {number(c('cells', 'density', 'age'))}" in planted_text(study, planted)


def test_the_report_of_a_simulated_cohort_shows_what_was_planted(run, truth, tmp_path):
    page = read_page(run.write(tmp_path, files=run.files() | truth))
    assert "Did the models find what was planted?" in page.words()
    assert any(caption.startswith("What was planted") for caption in tables(page))
    assert "Planted: the true log-hazard" in (tmp_path / "summary.txt").read_text()


def test_no_other_report_speaks_of_a_truth(run, tmp_path):
    assert "planted" not in read_page(run.write(tmp_path)).words()
