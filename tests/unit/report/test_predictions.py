from pathlib import Path

import pandas as pd
import pytest

from pathgptomic.report import checks
from pathgptomic.report.predictions import Cohort, read_predictions
from tests.unit.report.synthetic import write_cohort, write_predictions


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = write_cohort(tmp_path_factory.mktemp("cohort"), patients=40, folds=2)
    write_predictions(folder, "blind", signal=0, seeds=2)
    return folder


def test_predictions_are_dense_and_averaged_over_the_seeds(folder):
    cohort = Cohort.read(folder / "patients.tsv", folder / "splits.tsv")
    assert cohort.is_partition()
    assert cohort.ratio() == 1
    found = read_predictions(folder / "blind.tsv", "blind", cohort)
    table = pd.read_csv(folder / "blind.tsv", sep="\t")
    for role, mask in (("train", cohort.train), ("inner", cohort.train), ("test", cohort.test)):
        risks = getattr(found.mean, role)
        assert ((risks == risks) == mask).all()
        chosen = table[(table["role"] == role) & (table["fold"] == 2)]
        mean = chosen.groupby("patient_id")["log_hazard"].mean()
        assert risks[1, cohort.patients.get_indexer(mean.index)] == pytest.approx(mean.to_numpy())
        first = chosen[chosen["seed"] == 0].set_index("patient_id")["log_hazard"]
        by_seed = getattr(found.by_seed[0], role)
        assert by_seed[1, cohort.patients.get_indexer(first.index)] == pytest.approx(first.to_numpy())


def test_a_column_with_one_level_is_no_subgroup(folder, tmp_path):
    patients = pd.read_csv(folder / "patients.tsv", sep="\t").assign(stratum="one", site="")
    patients.to_csv(tmp_path / "patients.tsv", sep="\t", index=False)
    cohort = Cohort.read(tmp_path / "patients.tsv", folder / "splits.tsv", ("stratum", "site", "idh"))
    assert set(cohort.subgroups) == {"idh"}


def spoil(table: pd.DataFrame, kind: str) -> pd.DataFrame:
    test = table.index[table["role"] == "test"]
    if kind == "missing":
        return table.drop(index=test[0])
    if kind == "twice":
        return pd.concat([table, table.loc[test[:1]]])
    if kind == "nan":
        return table.assign(log_hazard=table["log_hazard"].mask(table.index == 0))
    if kind == "unknown":
        return table.assign(patient_id=table["patient_id"].replace("P0001", "P9999"))
    if kind == "role":
        return table.assign(role=table["role"].replace("inner", "validation"))
    if kind == "leak":
        return pd.concat([table, table.loc[test[:1]].assign(role="train")])
    if kind == "seeds":
        return pd.concat([table, table[(table["fold"] == 1) & (table["seed"] == 0)].assign(seed=5)])
    if kind == "column":
        return table.drop(columns="seed")
    return table[:0]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "has no test row for patient"),
        ("twice", "twice as test"),
        ("nan", "must predict a finite number"),
        ("unknown", "'P9999', which is unknown here"),
        ("role", "role 'validation'"),
        ("leak", "against splits.tsv"),
        ("seeds", "every test patient of every fold and seed"),
        ("column", "has no column 'seed'"),
        ("empty", "predicted nobody"),
    ],
)
def test_predictions_that_cannot_be_used_are_refused(folder, tmp_path, kind, words):
    cohort = Cohort.read(folder / "patients.tsv", folder / "splits.tsv")
    spoil(pd.read_csv(folder / "blind.tsv", sep="\t"), kind).to_csv(tmp_path / "bad.tsv", sep="\t", index=False)
    with pytest.raises(ValueError, match=words) as raised:
        read_predictions(tmp_path / "bad.tsv", "blind", cohort)
    assert "bad.tsv" in str(raised.value)


def test_an_unknown_subgroup_is_refused_before_any_job_and_in_it(folder):
    with pytest.raises(ValueError, match="no column 'grade'"):
        Cohort.read(folder / "patients.tsv", folder / "splits.tsv", ("grade",))
    cohorts = {"demo": {"covariates": {"age": "numeric"}, "subgroups": ["stratum", "age", "grade"]}}
    assert len(checks.errors({}, cohorts)) == 1
    assert "'grade'" in checks.errors({}, cohorts)[0]
