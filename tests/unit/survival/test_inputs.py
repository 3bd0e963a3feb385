import numpy as np
import pandas as pd
import pytest

from pathgptomic.cohort.tables import read_splits, write_features
from pathgptomic.survival.inputs import read_inputs
from tests.unit.survival.synthetic import COVARIATES, MODALITIES


def test_folds_are_the_rows_of_the_split_table(cohort):
    inputs = read_inputs(cohort, COVARIATES, MODALITIES)
    splits = read_splits(cohort["splits"])
    for fold in inputs.folds:
        rows = splits[splits["fold"] == fold.number].set_index("patient_id")
        ids = inputs.patients.index
        assert set(ids[fold.test]) == set(rows.index[rows["role"] == "test"])
        assert (rows.loc[ids[fold.train], "inner"].to_numpy() == fold.inner).all()
        assert not set(fold.train) & set(fold.test)


def test_networks_of_a_fold_leave_out_each_inner_part_once(cohort):
    fold = read_inputs(cohort, COVARIATES, ["clinical"]).folds[0]
    networks = list(fold.networks())
    assert [number for number, _, _ in networks] == [0, 1, 2, 3]
    assert (networks[0][1] == fold.train).all()
    assert len(networks[0][2]) == 0
    left_out = np.concatenate([left for _, _, left in networks[1:]])
    assert sorted(left_out) == sorted(fold.train)
    for _, rows, left in networks[1:]:
        assert sorted([*rows, *left]) == sorted(fold.train)


def test_tables_are_aligned_and_gaps_are_rows_of_nan(masked_cohort):
    inputs = read_inputs(masked_cohort, COVARIATES, MODALITIES)
    for name in ("expression", "cnv", "mutations"):
        table = inputs.features[name]
        assert (table.index == inputs.patients.index).all()
        assert (table.notna().all(axis=1).to_numpy() == inputs.present(name)).all()
        assert 0 < inputs.present(name).sum() < len(inputs.patients)


def test_complete_keeps_patients_with_everything_and_their_folds(masked_cohort):
    inputs = read_inputs(masked_cohort, COVARIATES, MODALITIES)
    complete = inputs.complete(["expression", "slides"])
    assert (complete.present("expression") & complete.present("slides")).all()
    kept = set(complete.patients.index)
    assert kept == set(inputs.patients.index[inputs.present("expression") & inputs.present("slides")])
    for before, after in zip(inputs.folds, complete.folds, strict=True):
        ids, kept_ids = inputs.patients.index, complete.patients.index
        assert [i for i in ids[before.test] if i in kept] == list(kept_ids[after.test])
        inner = dict(zip(ids[before.train], before.inner, strict=True))
        assert [inner[i] for i in kept_ids[after.train]] == list(after.inner)


def test_an_adapter_embedding_is_a_modality(cohort, tmp_path):
    patients = read_inputs(cohort, {}, []).patients
    table = pd.DataFrame(np.ones((len(patients) - 5, 3)), patients.index[5:]).rename(columns="e{}".format)
    write_features(tmp_path / "mixup.parquet", table)
    inputs = read_inputs({**cohort, "genomics:mixup": str(tmp_path / "mixup.parquet")}, {}, ["genomics:mixup"])
    assert inputs.present("genomics:mixup").sum() == len(patients) - 5


def test_a_modality_without_features_is_refused(cohort, tmp_path):
    write_features(tmp_path / "cnv.parquet", pd.DataFrame(index=pd.Index([], name="patient_id", dtype=object)))
    with pytest.raises(ValueError, match="has no feature: leave cnv out"):
        read_inputs({**cohort, "cnv": str(tmp_path / "cnv.parquet")}, {}, ["cnv"])


def test_clinical_without_covariates_is_refused(cohort):
    with pytest.raises(ValueError, match="names no covariate"):
        read_inputs(cohort, {}, ["clinical"])
