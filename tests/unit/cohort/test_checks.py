"""What is said about a cohort file before any job: one sentence with the file and the fix."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from pathgptomic.cohort.checks import errors
from pathgptomic.cohort.headers import column_names
from tests.unit.cohort.facility import Facility


@pytest.fixture
def facility(tmp_path: Path) -> Facility:
    return Facility(tmp_path)


def table(name: str, **changes: object) -> Callable[[Facility], None]:
    return lambda facility: facility.table(name).update(changes)


def top(**changes: object) -> Callable[[Facility], None]:
    return lambda facility: facility.cohort.update(changes)


def slides(**section: object) -> Callable[[Facility], None]:
    def change(facility: Facility) -> None:
        facility.cohort["tables"]["slides"] = section
        pd.DataFrame({"fold": [1], "patient_id": ["a"], "f": [1.0]}).to_csv(facility.folder / "rois.csv", index=False)

    return change


def test_a_right_cohort_file_has_no_errors(facility: Facility):
    assert facility.errors() == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (table("cnv", path="no.csv"), "there is no file FOLDER/no.csv; correct `tables.cnv` or `data_root`."),
        (table("cnv", patient="pid"), "cnv.csv has no column 'pid' (`tables.cnv`); it has 'patient_id', 'TP53'"),
        (table("cnv", columns={"drop": ["note"]}), "cnv.csv has no column 'note'"),
        (table("cnv", only={"project": ["x"]}), "cnv.csv has no column 'project'"),
        (table("clinical", time={"column": ["t", "time_days"], "unit": "days"}), "clinical.csv has no column 't'"),
        (table("clinical", event={"column": "dead"}), "clinical.csv has no column 'dead'"),
        (table("clinical", vital_status={"column": "vs"}), "clinical.csv has no column 'vs'"),
        (table("clinical", columns={"age": "years"}), "clinical.csv has no column 'years'"),
        (top(stratum="subtype"), "clinical.csv has no column 'subtype'"),
        (top(covariates={"bmi": "numeric"}), "clinical.csv has no column 'bmi'"),
        (top(covariates={"event": "nominal"}), "the covariate 'event' has the name of a column of ours"),
        (top(covariates={}), "`covariates` is empty"),
        (top(audit={"adverse": ["stage"]}), "`audit.adverse` names 'stage', which is no covariate"),
        (top(site={"column": "site", "barcode": [6, 7]}), "keep one"),
        (top(site={}, splits={"scheme": "site-preserved"}), "needs to know the sites"),
        (top(modalities=["slides"]), "`modalities` names slides but `tables.slides` is missing"),
        (slides(features="h5"), "there is no folder FOLDER/h5; correct `tables.slides.features`"),
        (slides(features="h5", table="rois.csv"), "`tables.slides` names features and table; name one of"),
        (slides(), "`tables.slides` names nothing"),
        (slides(table="rois.csv", columns={"keep": ["g"]}), "rois.csv has no column 'g' (`tables.slides.table`)"),
        (slides(table="rois.csv", list={"path": "rois.csv"}), "has no column 'slide_id' (`tables.slides.list`)"),
        (slides(features="h5", fold="fold"), "goes with `tables.slides.table` only"),
        (table("splits", layout="lists"), "holds {fold} with the layout lists"),
        (table("splits", layout="long"), "splits.csv has no column 'fold' or 'split'"),
        (table("splits", folds=["fold9"]), "splits.csv has no column 'fold9'"),
        (table("cnv", id={"pattern": "("}), "`tables.cnv.id.pattern` is no regular expression"),
        (table("cnv", gene_pattern="^TP53"), "has 0 groups in parentheses; it needs one"),
        (table("cnv", path="cnv.xlsx"), "there is no file"),
    ],
)
def test_an_error_is_one_sentence(facility: Facility, change: Callable[[Facility], None], sentence: str):
    change(facility)
    found = facility.errors()
    assert len(found) == 1
    assert found[0].startswith("config/cohorts/facility.yaml: ")
    assert sentence.replace("FOLDER", str(facility.folder)) in found[0]


def test_features_by_fold_go_with_published_splits_only(facility: Facility):
    slides(table="rois.csv", fold="fold")(facility)
    assert facility.errors() == []
    facility.cohort["splits"] = {"scheme": "kfold"}
    assert "would test on patients that they were trained on" in facility.errors()[0]


def test_a_missing_split_section_and_clinical_table_are_both_said(facility: Facility):
    facility.cohort["tables"] = {"expression": facility.table("expression")}
    facility.cohort["modalities"] = ["expression"]
    found = facility.errors()
    assert ["published needs `tables.splits`" in found[0], "`tables.clinical` is missing" in found[1]] == [True, True]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("cnv.csv", "a,b,a\n1,2,3\n", "has the column 'a' twice"),
        ("cnv.xlsx", "x", "a table is csv, tsv or txt"),
        ("cnv.parquet", "no parquet", "cnv.parquet cannot be read: "),
        ("cnv.csv.gz", "no gzip", "cnv.csv.gz cannot be read: "),
        ("cnv.csv", "", "has no header: the file is empty"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(facility: Facility, name: str, content: str, sentence: str):
    (facility.folder / name).write_text(content)
    facility.table("cnv")["path"] = name
    found = facility.errors()
    assert len(found) == 1
    assert sentence in found[0]
    assert str(facility.folder / name) in found[0]


def test_only_gene_tables_may_be_h5ad(facility: Facility):
    (facility.folder / "clinical.h5ad").touch()
    facility.table("clinical")["path"] = "clinical.h5ad"
    assert "which only expression and cnv and mutations may be" in facility.errors()[0]


def test_tables_of_a_simulated_cohort_need_not_be_there_yet(facility: Facility):
    facility.table("cnv")["path"] = "no.csv"
    settings = facility.settings() | {"simulate": {"patients": 10}}
    assert errors(facility.config, {"demo": settings}) == []


def test_a_header_is_read_without_the_table(tmp_path: Path):
    path = tmp_path / "wide.csv"
    path.write_text('"a", b,"c,d"\n' + "1,2,3\n" * 10)
    assert column_names(path) == ("a", "b", "c,d")
    frame = pd.DataFrame({"G": [1.0]}, index=["P1"])
    frame.to_parquet(tmp_path / "t.parquet")
    assert set(column_names(tmp_path / "t.parquet")) == {"G", ""}
