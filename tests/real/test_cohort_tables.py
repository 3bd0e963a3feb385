"""The cohort stage on the real glioma and kidney tables: known numbers, known mistakes, known ways of writing them."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from pathgptomic.cohort.bags import Bags
from pathgptomic.cohort.build import build_cohort
from pathgptomic.cohort.checks import errors
from pathgptomic.cohort.clinical import read_clinical
from pathgptomic.cohort.files import published_files, table_files
from pathgptomic.cohort.folds import make_splits
from pathgptomic.cohort.tables import read_audit, read_expression, read_features, read_flow, read_patients, read_splits
from pathgptomic.config import with_defaults
from pathgptomic.slides.pack import pack_slides
from tests.conftest import ROOT
from tests.unit.cohort.facility import cohort_schema

COHORTS = {
    # patients, deaths, test patients and deaths over the 15 folds, features of expression, cnv, mutations
    "tcga-gbmlgg": (490, 151, 1465, 447, (1544, 30, 16), 5),
    "tcga-kirc": (287, 73, 878, 222, (1556, 937, 10), 3),
}


def settings(name: str, **changes: Any) -> dict[str, Any]:
    cohort = yaml.safe_load((ROOT / "config" / "real" / f"{name}.yaml").read_text())
    return with_defaults(copy.deepcopy(cohort | changes), cohort_schema())


@pytest.fixture(scope="module")
def config(shared: Path) -> dict[str, str]:
    return {"data_root": str(shared / "data"), "cohort_folder": "config/real"}


@pytest.fixture(scope="module", params=COHORTS)
def built(request: pytest.FixtureRequest, config: dict, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The whole stage on one cohort."""
    name, out = request.param, tmp_path_factory.mktemp(request.param)
    cohort = settings(name)
    assert errors(config, {name: cohort}) == []
    files = table_files(config, cohort)
    build_cohort(files=files, settings=cohort, out=str(out))
    make_splits(
        patients=str(out / "patients.tsv"),
        published=published_files(config, cohort),
        settings=cohort,
        seed=17,
        splits_out=str(out / "splits.tsv"),
        folds_out=str(out / "folds.tsv"),
        audit_out=str(out / "splits_audit.json"),
    )
    files |= {table: str(out / f"{table}.tsv") for table in ("patients", "slides", "splits")}
    pack_slides(files=files, settings=cohort["tables"]["slides"], out=str(out))
    return name, out


def test_the_cohort_is_the_one_that_is_known(built: tuple[str, Path]):
    name, out = built
    patients, deaths, _, _, widths, _ = COHORTS[name]
    table = read_patients(out / "patients.tsv", settings(name)["covariates"])
    assert (len(table), int(table["event"].sum())) == (patients, deaths)
    assert table.filter(like="has_").all(axis=None)
    tables = [
        read_expression(out / "expression.h5ad")[0],
        *(read_features(out / f"{n}.parquet") for n in ("cnv", "mutations")),
    ]
    assert tuple(features.shape[1] for features in tables) == widths
    assert all(features.index.equals(table.index) for features in tables)
    assert read_expression(out / "expression.h5ad")[1] == "zscore"
    assert all(finding["status"] != "stop" for finding in read_audit(out / "audit.json"))


def test_the_flow_says_why(built: tuple[str, Path]):
    name, out = built
    flow = read_flow(out / "flow.tsv").set_index("reason")
    expected = {
        "tcga-gbmlgg": {"a time of zero or less": 1, "no expression": 278, "no slides": 79},
        "tcga-kirc": {"a time of zero or less": 2, "no expression": 128, "no slides": 58},
    }[name]
    assert flow["dropped"][flow["dropped"] > 0].to_dict() == expected
    assert (
        flow["examples"]["a time of zero or less"]
        == {
            "tcga-gbmlgg": "TCGA-RR-A6KB",
            "tcga-kirc": "TCGA-A3-A8OU, TCGA-A3-A8OX",
        }[name]
    )


def test_published_folds_are_those_of_the_file(built: tuple[str, Path], shared: Path):
    name, out = built
    splits = read_splits(out / "splits.tsv", read_patients(out / "patients.tsv").index)
    published = pd.read_csv(shared / "data" / name / "splits15.csv", index_col="patient_id")
    for fold, part in splits.groupby("fold"):
        role = published.loc[part["patient_id"], f"fold{fold}"]
        np.testing.assert_array_equal(part["role"], role)
    folds = pd.read_csv(out / "folds.tsv", sep="\t").query("role == 'test'")
    assert (folds["patients"].sum(), folds["events"].sum()) == COHORTS[name][2:4]
    assert folds["from_training_sites"].mean() > 0.95  # the known weakness of these splits


def test_bags_are_the_published_outputs_of_each_fold(built: tuple[str, Path], shared: Path):
    name, out = built
    bags = Bags.load(out)
    assert bags.in_sample_train
    assert len(bags.index) == 15 * COHORTS[name][0]
    assert len(bags.features) == COHORTS[name][5]
    instances = pd.read_parquet(shared / "data" / settings(name)["tables"]["slides"]["table"])
    for fold in (1, 15):
        for patient in bags.patients(fold)[::60]:
            rows = instances[(instances["fold"] == fold) & (instances["patient_id"] == patient)]
            np.testing.assert_array_equal(bags.bag(fold, patient)[:, 0], rows["hazard"])
    scores = pd.read_parquet(shared / "data" / name / "image_scores.parquet").query("fold == 4").set_index("patient_id")
    ids = bags.patients(4)
    np.testing.assert_allclose(bags.means(4, ids)[:, 0], scores.loc[ids, "cnn_hazard"], atol=2e-4)


@pytest.mark.parametrize("name", COHORTS)
@pytest.mark.parametrize(
    ("clinical", "sentence"),
    [
        ({"event": {"column": "event", "observed": [0]}}, "the event looks flipped"),
        ({"event": {"column": "event", "not_observed": [1]}}, "the event looks flipped"),
        ({"time": {"column": "time_days", "unit": "months"}}, "times in months make the longest follow-up [35]"),
    ],
)
def test_a_wrong_cohort_file_stops(config: dict, tmp_path: Path, name: str, clinical: dict, sentence: str):
    cohort = settings(name, modalities=["clinical"])
    cohort["tables"] |= dict.fromkeys(("expression", "cnv", "mutations", "slides", "splits"))
    cohort["tables"]["clinical"] |= {
        key: value | {"observed": [], "not_observed": []} | value for key, value in clinical.items()
    }
    cohort["splits"]["scheme"] = "kfold"
    with pytest.raises(ValueError, match=sentence) as caught:
        build_cohort(files=table_files(config, cohort), settings=cohort, out=str(tmp_path / "out"))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", COHORTS)
def test_times_written_in_months_stop(config: dict, tmp_path: Path, name: str):
    cohort = settings(name, modalities=["clinical"])
    cohort["tables"] |= dict.fromkeys(("expression", "cnv", "mutations", "slides", "splits"))
    table = pd.read_csv(table_files(config, cohort)["clinical"], dtype=str)
    table["time_days"] = (table["time_days"].astype(float) / 30.4375).round(2)
    table.to_csv(tmp_path / "clinical.csv", index=False)
    with pytest.raises(ValueError, match=r"as .*months it would be possible: correct `time.unit`"):
        build_cohort(files={"clinical": str(tmp_path / "clinical.csv")}, settings=cohort, out=str(tmp_path / "out"))


@pytest.mark.parametrize("scheme", ["kfold", "repeated", "monte-carlo", "site-preserved", "leave-one-site-out"])
def test_every_scheme_fits_the_real_cohorts(built: tuple[str, Path], tmp_path: Path, scheme: str):
    cohort = settings(built[0])
    cohort["splits"]["scheme"] = scheme
    make_splits(
        patients=str(built[1] / "patients.tsv"),
        published=[],
        settings=cohort,
        seed=17,
        splits_out=str(tmp_path / "splits.tsv"),
        folds_out=str(tmp_path / "folds.tsv"),
        audit_out=str(tmp_path / "splits_audit.json"),
    )
    folds = pd.read_csv(tmp_path / "folds.tsv", sep="\t").query("role == 'test'")
    by_site = scheme in ("site-preserved", "leave-one-site-out")
    assert (folds["from_training_sites"] == 0).all() == by_site
    assert folds["events"].min() >= (9 if by_site else 14)


def test_a_portal_export_gives_the_same_outcomes(shared: Path):
    """The GDC's own clinical export: several rows a case, two time columns, '-- for missing."""
    cohort = settings(
        "tcga-kirc",
        covariates={"age": "numeric", "grade": {"ordinal": ["G1", "G2", "G3", "G4"]}},
        site={"barcode": [6, 7]},
    )
    cohort["tables"]["clinical"] |= {
        "patient": "cases.submitter_id",
        "only": {"project.project_id": ["TCGA-KIRC"], "diagnoses.diagnosis_is_primary_disease": ["TRUE"]},
        "time": {"column": ["demographic.days_to_death", "diagnoses.days_to_last_follow_up"], "unit": "days"},
        "event": {"column": "demographic.vital_status", "observed": ["Dead"], "not_observed": []},
        "columns": {"age": "demographic.age_at_index", "grade": "diagnoses.tumor_grade"},
        "missing": ["'--", "GX"],
    }
    export, findings = read_clinical(shared / "data" / "gdc-answers" / "clinical_export_kidney.tsv.gz", cohort)
    assert findings[0].status == "pass"
    assert findings[0].evidence["patients"] > 100  # a row for every treatment
    known = pd.read_csv(shared / "data" / "tcga-kirc" / "clinical.csv", index_col="patient_id", dtype={"site": str})
    both = export.index.intersection(known.index)
    assert len(both) == 472  # three patients are not in the export
    assert (export.loc[both, "event"] == (known.loc[both, "event"] == 1)).mean() > 0.99
    assert (export.loc[both, "time_days"] - known.loc[both, "time_days"]).abs().le(1).mean() > 0.98
    assert export.loc[both, "site"].equals(known.loc[both, "site"])
    graded = known.loc[both, "grade"].notna() & export.loc[both, "grade"].notna()
    assert (export.loc[both, "grade"][graded] == known.loc[both, "grade"][graded]).mean() > 0.99
