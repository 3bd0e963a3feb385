"""The dialect matrix: tables written in another way, read by config alone, give the same cohort."""

import gzip
from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from tests.unit.cohort.facility import Built, Facility

DAYS_A_MONTH = 365.25 / 12


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The cohort of the plain tables."""
    return Facility(tmp_path_factory.mktemp("plain")).build()


@pytest.fixture
def facility(tmp_path: Path) -> Facility:
    return Facility(tmp_path)


def gzip_clinical(f: Facility) -> None:
    f.clinical.to_csv(f.folder / "clinical.tsv.gz", sep="\t")
    f.table("clinical")["path"] = "clinical.tsv.gz"


def parquet_with_index_and_categories(f: Facility) -> None:
    f.clinical.astype({"sex": "category", "event": float}).to_parquet(f.folder / "clinical.parquet")
    f.table("clinical")["path"] = "clinical.parquet"
    f.expression.rename_axis(None).to_parquet(f.folder / "expression.parquet")
    f.table("expression").update(path="expression.parquet", patient="")


def byte_order_mark_comments_and_upper_suffix(f: Facility) -> None:
    text = "# exported on Monday, by hand\n#second line\n" + f.clinical.to_csv()
    (f.folder / "CLINICAL.CSV").write_text(text, encoding="utf-8-sig")
    f.table("clinical").update(path="CLINICAL.CSV", comment="#")


def semicolons_and_decimal_commas(f: Facility) -> None:
    clinical = f.clinical.assign(age=f.clinical["age"].astype(float) + 0.0)
    clinical.to_csv(f.folder / "clinical.csv", sep=";", decimal=",")
    f.table("clinical").update(separator=";", decimal=",")
    f.expression.to_csv(f.folder / "expression.csv", sep=";", decimal=",")
    f.table("expression").update(separator=";", decimal=",")


def in_unit(days: float, unit: str) -> Callable[[Facility], None]:
    def rewrite(f: Facility) -> None:
        clinical = f.clinical.assign(time_days=f.clinical["time_days"] / days).rename(columns={"time_days": "OS_time"})
        clinical.to_csv(f.folder / "clinical.csv")
        f.table("clinical")["time"] = {"column": "OS_time", "unit": unit}

    return rewrite


def censoring_indicator(f: Facility) -> None:
    f.clinical.assign(event=1 - f.clinical["event"]).to_csv(f.folder / "clinical.csv")
    f.table("clinical")["event"] = {"column": "event", "not_observed": ["1"]}


def two_time_columns_and_words(f: Facility) -> None:
    dead = f.clinical["event"] == 1
    clinical = f.clinical.assign(
        vital_status=np.where(dead, "Dead", "Alive"),
        days_to_death=f.clinical["time_days"].astype(object).where(dead, "'--"),
        days_to_last_follow_up=f.clinical["time_days"].astype(object).where(~dead, "'--"),
    ).drop(columns=["time_days", "event"])
    clinical.to_csv(f.folder / "clinical.csv")
    f.table("clinical").update(
        time={"column": ["days_to_death", "days_to_last_follow_up"], "unit": "days"},
        event={"column": "vital_status", "observed": ["Dead"]},
        vital_status={"column": "vital_status"},
    )


def other_names_and_codes(f: Facility) -> None:
    clinical = pd.DataFrame(
        {
            "bcr_patient_barcode": f.clinical.index,
            "time_days": f.clinical["time_days"],
            "event": f.clinical["event"],
            "age_at_diagnosis": (f.clinical["age"] * 365.25).round(),
            "is_female": (f.clinical["sex"] == "female").astype(float),
            "tumor_grade": f.clinical["grade"].str.replace("G", "Grade "),
            "tissue_source_site": f.clinical["site"],
            "project_id": f.clinical["project"],
        }
    )
    clinical.to_csv(f.folder / "clinical.csv", index=False)
    f.table("clinical").update(
        patient="bcr_patient_barcode",
        age_unit="days",
        columns={
            "age": "age_at_diagnosis",
            "sex": "is_female",
            "grade": "tumor_grade",
            "site": "tissue_source_site",
            "project": "project_id",
        },
        values={"sex": {"1": "female", "0": "male"}, "grade": {f"Grade {n}": f"G{n}" for n in (2, 3, 4)}},
    )


def site_from_the_barcode(f: Facility) -> None:
    f.clinical.drop(columns="site").to_csv(f.folder / "clinical.csv")
    f.cohort["site"] = {"barcode": [6, 7]}


def rows_per_slide(f: Facility) -> None:
    twice = pd.concat([f.clinical, f.clinical.iloc[::3]]).sort_index()
    ids = [f"{patient}-01Z-00-DX{row}.svs" for row, patient in enumerate(twice.index)]
    twice.assign(slide_id=ids).reset_index(drop=True).to_csv(f.folder / "clinical.csv", index=False)
    f.table("clinical").update(patient="slide_id", id={"characters": 12})


def only_some_rows(f: Facility) -> None:
    others = f.clinical.assign(cohort="other").set_axis(f"X-{name}" for name in f.clinical.index)
    pd.concat([f.clinical.assign(cohort="ours"), others.rename_axis("patient_id")]).to_csv(f.folder / "clinical.csv")
    f.table("clinical")["only"] = {"cohort": ["ours"]}


def joint_table_with_suffixes(f: Facility) -> None:
    joint = f.clinical.rename_axis("case_id").join(
        [f.expression.add_suffix("_rnaseq"), f.cnv.add_suffix("_cnv"), f.mutations.add_suffix("_mut")]
    )
    pd.concat([joint, joint.iloc[:9]]).to_csv(f.folder / "all.csv.gz")
    for name, suffix in (("clinical", None), ("expression", "_rnaseq"), ("cnv", "_cnv"), ("mutations", "_mut")):
        f.table(name).update(path="all.csv.gz", patient="case_id")
        if suffix:
            f.table(name)["columns"] = {"suffix": suffix}


def genes_in_rows(f: Facility) -> None:
    table = f.expression.T.rename_axis("gene").reset_index()
    table.insert(1, "entrez", range(100, 100 + len(table)))
    table["gene"] += "|" + table["entrez"].astype(str)
    unnamed = table.iloc[:1].assign(gene="?|100133144")
    pd.concat([table, unnamed]).to_csv(f.folder / "expression.txt", sep="\t", index=False)
    f.table("expression").update(
        path="expression.txt",
        orientation="genes_by_patients",
        gene_pattern=r"^([^|]+)",
        columns={"drop": ["entrez"]},
    )


def as_r_writes_it(f: Facility) -> None:
    table = f.expression.set_axis(f.expression.index.str.replace("-", "."))
    header, *rows = table.to_csv(sep="\t").splitlines()
    (f.folder / "expression.tsv").write_text("\n".join([header.removeprefix("patient_id\t"), *rows]) + "\n")
    f.table("expression").update(path="expression.tsv", patient="", id={"replace": {".": "-"}})


def logarithms(offset: float) -> Callable[[Facility], None]:
    def rewrite(f: Facility) -> None:
        np.log2(f.expression + offset).to_csv(f.folder / "expression.csv", float_format="%.10f")
        f.table("expression").update(scale="log2", offset=offset)

    return rewrite


def h5ad(f: Facility) -> None:
    obs = pd.DataFrame({"case": f.expression.index}, index=[f"sample{n}" for n in range(len(f.expression))])
    var = pd.DataFrame({"symbol": f.expression.columns}, index=[f"ENSG{n:011d}" for n in range(6)])
    anndata.AnnData(f.expression.to_numpy(np.float32), obs=obs, var=var).write_h5ad(f.folder / "expression.h5ad")
    f.table("expression").update(path="expression.h5ad", patient="case", gene="symbol")


def h5ad_genes_in_rows_and_a_layer(f: Facility) -> None:
    data = anndata.AnnData(np.zeros(f.expression.T.shape, np.float32), obs=pd.DataFrame(index=f.expression.columns))
    data.var_names = f.expression.index
    data.layers["tpm"] = f.expression.T.to_numpy(np.float32)
    data.write_h5ad(f.folder / "expression.h5ad")
    f.table("expression").update(path="expression.h5ad", orientation="genes_by_patients", layer="tpm")


def two_samples(f: Facility, low: float, high: float) -> pd.DataFrame:
    """Return a table with a second sample for ten patients, the later one first, scaled by `high` and `low`."""
    twice = f.expression.iloc[:10]
    parts = [(twice * high, "-02A"), (twice * low, "-01A"), (f.expression.iloc[10:], "-01A")]
    f.table("expression").update(patient="sample", id={"pattern": r"^(TCGA-\w\w-\w{4})"})
    return pd.concat([table.set_axis(table.index + suffix) for table, suffix in parts]).rename_axis("sample")


def first_sample(f: Facility) -> None:
    two_samples(f, 1.0, 3.0).to_csv(f.folder / "expression.csv")
    f.table("expression")["replicates"] = "first"


def mean_of_logarithmic_samples(f: Facility) -> None:
    np.log2(two_samples(f, 0.5, 1.5) + 1).to_csv(f.folder / "expression.csv", float_format="%.10f")
    f.table("expression").update(replicates="mean", scale="log2")


def repeated_genes(f: Facility) -> None:
    table = f.cnv.T.rename_axis("gene")
    table = pd.concat([table, table.iloc[:2] + 2])
    table.iloc[:2] -= 2
    table.to_csv(f.folder / "cnv.csv")
    f.table("cnv").update(orientation="genes_by_patients", repeated_genes="mean")


def long_splits(f: Facility) -> None:
    rows = f.splits.rename(columns={f"fold{k}": f"fold{k + 8}" for k in range(1, 5)}).stack().reset_index()
    rows.set_axis(["pid", "cv", "part"], axis=1).iloc[::-1].replace({"part": {"test": "val"}}).to_csv(
        f.folder / "splits.tsv.gz", sep="\t", index=False
    )
    f.table("splits").update(
        path="splits.tsv.gz", layout="long", patient="pid", fold="cv", role="part", test=["val"], train=["train", "x"]
    )


def lists_of_ids(f: Facility) -> None:
    f.table("splits").update(path="splits_{fold}.csv", layout="lists", test=["val"], id={"characters": 12})
    for k in range(1, 5):
        parts = {
            word: pd.Series(f.splits.index[f.splits[f"fold{k}"] == role] + "-01Z")
            for word, role in (("train", "train"), ("val", "test"))
        }
        # numbers count from 0 and go to two digits, as in some repositories
        pd.DataFrame(parts).to_csv(f.folder / f"splits_{k + 7}.csv")


def coded_words_and_spare_columns(f: Facility) -> None:
    f.splits.replace({"train": 0.0, "test": 1.0}).assign(note="?").to_csv(f.folder / "splits.csv")
    f.table("splits").update(folds=[f"fold{k}" for k in range(1, 5)], train=["0"], test=["1"])


DIALECTS = [
    gzip_clinical,
    parquet_with_index_and_categories,
    byte_order_mark_comments_and_upper_suffix,
    semicolons_and_decimal_commas,
    in_unit(7, "weeks"),
    in_unit(DAYS_A_MONTH, "months"),
    in_unit(365.25, "years"),
    censoring_indicator,
    two_time_columns_and_words,
    other_names_and_codes,
    site_from_the_barcode,
    rows_per_slide,
    only_some_rows,
    joint_table_with_suffixes,
    genes_in_rows,
    as_r_writes_it,
    logarithms(1),
    logarithms(0.001),
    h5ad,
    h5ad_genes_in_rows_and_a_layer,
    first_sample,
    mean_of_logarithmic_samples,
    repeated_genes,
    long_splits,
    lists_of_ids,
    coded_words_and_spare_columns,
]
NAMES = [
    "gzip", "parquet", "bom", "semicolons", "weeks", "months", "years", "indicator", "two-times", "names", "barcode",
    "slides", "only", "joint", "genes-in-rows", "r", "log2-1", "log2-0.001", "h5ad", "h5ad-layer", "first", "mean",
    "repeated-genes", "long", "lists", "codes",
]  # fmt: skip


@pytest.mark.parametrize("dialect", DIALECTS, ids=NAMES)
def test_a_dialect_gives_the_same_cohort(facility: Facility, plain: Built, dialect: Callable[[Facility], None]):
    dialect(facility)
    facility.build().assert_same(plain)


def test_the_plain_cohort_is_what_the_tables_say(facility: Facility, plain: Built):
    np.testing.assert_allclose(plain.patients["time_days"], facility.clinical["time_days"].sort_index())
    np.testing.assert_array_equal(plain.patients["event"], facility.clinical["event"].sort_index() == 1)
    np.testing.assert_array_equal(plain.patients["stratum"], facility.clinical["project"].sort_index())
    np.testing.assert_allclose(plain.expression, facility.expression.sort_index(), rtol=1e-6)
    test = facility.splits.sort_index()["fold3"].eq("test")
    fold = plain.splits[plain.splits["fold"] == 3].set_index("patient_id")
    np.testing.assert_array_equal(fold["role"].eq("test"), test)


def test_a_validation_part_becomes_the_first_inner_part(facility: Facility):
    splits = facility.splits.copy()
    held_out = splits.index[splits["fold2"] == "train"][:10]
    splits.loc[held_out, "fold2"] = "tune"
    splits.to_csv(facility.folder / "splits.csv")
    facility.table("splits")["validation"] = ["tune"]
    fold = facility.build().splits.query("fold == 2 and role == 'train'").set_index("patient_id")
    assert set(fold.index[fold["inner"] == 1]) == set(held_out)
    assert set(fold["inner"]) == {1, 2, 3}


def test_zscores_stay_and_missing_covariates_are_empty(facility: Facility):
    scores = (facility.expression - facility.expression.mean()) / facility.expression.std()
    scores.to_csv(facility.folder / "expression.csv")
    facility.table("expression")["scale"] = "zscore"
    clinical = facility.clinical.astype(object)
    clinical.loc[clinical.index[:5], "age"] = "[Not Available]"
    clinical.loc[clinical.index[5:7], "sex"] = "Unknown"
    clinical.to_csv(facility.folder / "clinical.csv")
    built = facility.build()
    assert built.scale == "zscore"
    np.testing.assert_allclose(built.expression, scores.sort_index(), rtol=1e-4, atol=1e-5)
    assert len(built.patients) == 80  # a missing value does not drop a patient
    assert built.patients["age"].isna().sum() == 5
    assert built.patients["sex"].isna().sum() == 2


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("cnv", lambda f: pd.concat([f.cnv, f.cnv.iloc[:1] + 1]), "differ; set `replicates` to first or mean"),
        ("cnv", lambda f: f.cnv.assign(note="high"), "put the column into `columns.drop`"),
        ("expression", lambda f: f.expression - 99, "negative values are z-scores or logarithms"),
        ("splits", lambda f: f.splits.replace("test", "val"), "holds the word 'val'"),
        ("splits", lambda f: pd.concat([f.splits, f.splits.replace("test", "train")]), "has two roles in fold"),
        ("clinical", lambda f: f.clinical.assign(time_days="soon"), "holds 'soon', which is no number"),
        ("clinical", lambda f: f.clinical.assign(event=[0, 1, 2, 3] * 20), "also holds '0', '2', '3'"),
        ("clinical", lambda f: f.clinical.assign(event="yes"), "none of which is named in `observed`"),
    ],
)
def test_what_cannot_be_understood_is_one_sentence(facility: Facility, name: str, change: Callable, sentence: str):
    change(facility).to_csv(facility.folder / f"{name}.csv")
    with pytest.raises(ValueError, match="^[^\n]+$") as caught:
        facility.build()
    assert sentence in str(caught.value)
    assert str(facility.folder / f"{name}.csv") in str(caught.value)


def test_an_empty_table_is_named(facility: Facility):
    path = facility.folder / "clinical.csv.gz"
    with gzip.open(path, "wt"):
        pass
    facility.table("clinical")["path"] = path.name
    assert facility.errors() == [f"config/cohorts/facility.yaml: {path} has no header: the file is empty."]
