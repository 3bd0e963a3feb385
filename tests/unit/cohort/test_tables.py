"""Cohort files: what is written comes back, and what later stages could not rely on is refused in a sentence."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pathgptomic.cohort import tables
from pathgptomic.cohort.bags import Bags, write_bags

PATIENTS = pd.DataFrame(
    {
        "time_days": [10.5, 700.0, 30.0],
        "event": [True, False, True],
        "site": ["02", "06", ""],
        "stratum": ["", "A", "A"],
        "age": ["61", np.nan, "40"],
        "code": ["1", "02", np.nan],
        **{name: [True, True, False] for name in tables.HAS},
    },
    index=pd.Index(["P2", "P10", "001"], name="patient_id"),
)
SPLITS = pd.DataFrame(
    {
        "fold": [1, 1, 1, 2, 2, 2],
        "patient_id": ["a", "b", "c", "c", "b", "a"],
        "role": ["train", "train", "test", "train", "test", "train"],
        "inner": [1, 2, 0, 1, 0, 2],
    }
)


def test_patients_come_back_sorted_with_their_types(tmp_path: Path):
    tables.write_patients(tmp_path / "p.tsv", PATIENTS)
    read = tables.read_patients(tmp_path / "p.tsv", {"age": "numeric", "code": "nominal"})
    assert list(read.index) == ["001", "P10", "P2"]
    pd.testing.assert_frame_equal(read, PATIENTS.assign(age=[61.0, np.nan, 40.0]).sort_index())
    assert tables.read_patients(tmp_path / "p.tsv")["age"].tolist()[0] == "40"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t: t.assign(time_days=[0.0, 1.0, 2.0]), "has time_days 0.0; it must be above 0"),
        (lambda t: t.assign(time_days=[np.nan, 1.0, 2.0]), "has time_days nan"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "lists patient P2 twice"),
        (lambda t: t.drop(columns="site"), "has no column 'site'"),
    ],
)
def test_patients_that_cannot_be_used_are_not_written(tmp_path: Path, change: Callable, sentence: str):
    with pytest.raises(ValueError, match="p.tsv") as caught:
        tables.write_patients(tmp_path / "p.tsv", change(PATIENTS))
    assert sentence in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("True\t\t\t40", "dead\t\t\t40", "must be True or False"),
        ("30.0", "soon", "holds 'soon', which is not a number"),
        ("30.0", "-1", "must be above 0"),
        ("P10", "P2", "lists patient P2 twice"),
        ("has_cnv", "cnv", "has no column 'has_cnv'"),
    ],
)
def test_a_patient_table_of_a_users_own_is_checked(tmp_path: Path, old: str, new: str, sentence: str):
    path = tmp_path / "p.tsv"
    tables.write_patients(path, PATIENTS)
    text = path.read_text().replace("True\tA\tA\t40", "True\t\t\t40").replace("30.0\tTrue\t\tA", "30.0\tTrue\t\t")
    path.write_text(text.replace(old, new))
    with pytest.raises(ValueError, match="^[^\n]+$") as caught:
        tables.read_patients(path)
    assert sentence in str(caught.value)


def test_splits_come_back_sorted(tmp_path: Path):
    tables.write_splits(tmp_path / "s.tsv", SPLITS.iloc[::-1])
    read = tables.read_splits(tmp_path / "s.tsv", ["a", "b", "c"])
    pd.testing.assert_frame_equal(read, SPLITS.sort_values(["fold", "patient_id"], ignore_index=True))
    assert "test\t\n" in (tmp_path / "s.tsv").read_text()  # no inner part for a test patient


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t: t.assign(role=t["role"].replace("test", "val")), "has the role 'val'"),
        (lambda t: pd.concat([t, t.iloc[2:3].assign(role="train", inner=1)]), "lists patient c twice in fold 1"),
        (lambda t: t[t["role"] == "train"], "needs training and test patients"),
        (lambda t: t.assign(fold=t["fold"] - 1), "folds count from 1"),
        (lambda t: t.assign(inner=0), "have an inner part"),
        (lambda t: t.assign(inner=1), "they alone"),
        (lambda t: t.iloc[:0], "has no rows"),
    ],
)
def test_splits_that_cannot_be_used_are_refused(tmp_path: Path, change: Callable, sentence: str):
    with pytest.raises(ValueError, match="^[^\n]+$") as caught:
        tables.write_splits(tmp_path / "s.tsv", change(SPLITS))
    assert sentence in str(caught.value)


def test_splits_outside_the_cohort_are_refused(tmp_path: Path):
    tables.write_splits(tmp_path / "s.tsv", SPLITS)
    with pytest.raises(ValueError, match="1 patients outside the cohort, such as c"):
        tables.read_splits(tmp_path / "s.tsv", ["a", "b"])


def test_features_and_expression_come_back(tmp_path: Path):
    features = pd.DataFrame([[1.5, np.nan], [0, 2]], index=["b", "a"], columns=["G1", "G2"])
    tables.write_features(tmp_path / "f.parquet", features)
    expected = features.sort_index().astype(np.float32).rename_axis("patient_id")
    pd.testing.assert_frame_equal(tables.read_features(tmp_path / "f.parquet"), expected)
    counts = features.fillna(7)
    tables.write_expression(tmp_path / "e.h5ad", features, "linear", {"counts": counts})
    read, scale = tables.read_expression(tmp_path / "e.h5ad")
    pd.testing.assert_frame_equal(read, expected)
    assert scale == "linear"


def test_a_modality_that_is_lacking_comes_back_empty(tmp_path: Path):
    tables.write_features(tmp_path / "f.parquet", tables.no_features())
    tables.write_expression(tmp_path / "e.h5ad", tables.no_features(), "zscore")
    assert tables.read_features(tmp_path / "f.parquet").shape == (0, 0)
    assert tables.read_expression(tmp_path / "e.h5ad")[0].shape == (0, 0)
    tables.write_slides(tmp_path / "s.tsv", tables.no_slides())
    assert tables.read_slides(tmp_path / "s.tsv").empty


@pytest.mark.parametrize(
    ("features", "sentence"),
    [
        (pd.DataFrame({"G": [1.0, 2.0]}, index=["a", "a"]), "has the patient a twice"),
        (pd.DataFrame([[1.0, 2.0]], index=["a"], columns=["G", "G"]), "has the feature G twice"),
        (pd.DataFrame({"G": ["high"]}, index=["a"]), "features are numbers"),
        (pd.DataFrame({"G": [np.inf]}, index=["a"]), "holds infinite values"),
    ],
)
def test_features_that_cannot_be_used_are_refused(tmp_path: Path, features: pd.DataFrame, sentence: str):
    with pytest.raises(ValueError, match="f.parquet") as caught:
        tables.write_features(tmp_path / "f.parquet", features)
    assert sentence in str(caught.value)


def test_negative_linear_expression_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="cannot be negative"):
        tables.write_expression(tmp_path / "e.h5ad", pd.DataFrame({"G": [-1.0]}, index=["a"]), "linear")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.dictionaries(
        st.tuples(st.integers(1, 3), st.sampled_from("abcd")), st.integers(1, 5), min_size=1, max_size=12
    ),
    width=st.integers(1, 4),
    dtype=st.sampled_from([np.float16, np.float32]),
)
def test_bags_come_back_mapped(tmp_path: Path, sizes: dict[tuple[int, str], int], width: int, dtype: type):
    generator = np.random.default_rng(len(sizes))
    bags = {key: generator.normal(size=(n, width)).astype(dtype) for key, n in sizes.items()}
    names = [f"f{n}" for n in range(width)]
    write_bags(
        tmp_path,
        ((fold, patient, rows) for (fold, patient), rows in bags.items()),
        features=names,
        source="a test",
        in_sample_train=True,
        dtype=dtype,
    )
    read = Bags.load(tmp_path)
    assert isinstance(read.rows, np.memmap)
    assert read.rows.dtype == dtype
    assert read.features == tuple(names)
    assert read.per_fold
    for fold in (1, 2, 3):
        assert read.patients(fold) == sorted(patient for number, patient in bags if number == fold)
        means = read.means(fold, list("dcbax"))
        for row, patient in enumerate("dcbax"):
            rows = bags.get((fold, patient), np.zeros((0, width), dtype))
            np.testing.assert_array_equal(read.bag(fold, patient), rows)
            if len(rows):
                np.testing.assert_allclose(means[row], rows.astype(float).mean(axis=0), rtol=1e-3, atol=1e-3)
            else:
                assert np.isnan(means[row]).all()


def test_bags_of_every_fold_serve_any_fold(tmp_path: Path):
    write_bags(tmp_path, [(0, "a", np.ones((2, 1)))], features=["f"], source="s", in_sample_train=False)
    read = Bags.load(tmp_path)
    assert not read.per_fold
    assert read.for_fold(7, ["b", "a"]).tolist() == [[0, 0], [0, 2]]


@pytest.mark.parametrize(
    ("bags", "sentence"),
    [
        ([(1, "a", np.ones((2, 2)))], "needs at least one row of 1 features"),
        ([(1, "a", np.ones((0, 1)))], "needs at least one row"),
        ([(1, "a", np.full((1, 1), np.nan))], "missing or infinite values"),
        ([(1, "a", np.full((1, 1), 1e39))], "missing or infinite values"),
        ([(1, "a", np.ones((1, 1))), (1, "a", np.ones((1, 1)))], "two bags in one fold"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_bags_that_cannot_be_used_are_not_written(tmp_path: Path, bags: list, sentence: str):
    with pytest.raises(ValueError, match=sentence):
        write_bags(tmp_path, bags, features=["f"], source="s", in_sample_train=False)
    assert not list(tmp_path.iterdir())
