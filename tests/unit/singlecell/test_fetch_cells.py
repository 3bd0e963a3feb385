"""Fetching a reference: from a file and from a local Census, checked, capped, split by donor."""

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from pathgptomic.singlecell.cells import CountCheck, fetch_cells
from pathgptomic.singlecell.choose import group_labels, sample_cells, split_donors
from pathgptomic.singlecell.patterns import has_one_group
from pathgptomic.singlecell.sources import CensusCells, FileCells, Query
from tests.unit.singlecell.reference import make_cells, make_census, reference_settings


@pytest.fixture(scope="module")
def data() -> anndata.AnnData:
    return make_cells()


def _fetch(data: anndata.AnnData, folder: Path, seed: int = 17, **changes) -> anndata.AnnData:
    path = folder / "source.h5ad"
    data.write_h5ad(path)
    fetch_cells(
        settings=reference_settings(**changes),
        path=str(path),
        seed=seed,
        cells=str(folder / "cells.h5ad"),
        composition=str(folder / "composition.tsv"),
    )
    return anndata.read_h5ad(folder / "cells.h5ad")


def test_cells_are_grouped_split_by_donor_and_written_as_they_were(data, tmp_path):
    cells = _fetch(data, tmp_path)
    assert set(cells.obs["cell_type"]) == {"T", "Neuron", "Tumour"}
    assert cells.obs.groupby("donor", observed=True)["part"].nunique().eq(1).all()
    assert list(cells.obs["part"]) == sorted(cells.obs["part"], key=["train", "validation", "test"].index)
    assert cells.obs["part"].value_counts(normalize=True).between(0.1, 0.7).all()
    expected = data[cells.obs_names].X
    assert (expected != cells.X).nnz == 0
    assert list(cells.var_names) == list(data.var["feature_name"])
    np.testing.assert_allclose(cells.obs["depth"], expected.sum(axis=1).A1)
    assert json.loads(cells.uns["source"])["counts"] == "integer"
    composition = pd.read_csv(tmp_path / "composition.tsv", sep="\t")
    assert composition["cells"].sum() == len(cells) == len(data)


def test_a_local_census_gives_the_cells_that_the_file_gives(tmp_path):
    data = make_cells()
    data.obs.loc[data.obs_names[:20], "is_primary_data"] = False
    data.obs.loc[data.obs_names[20:30], "tissue_general"] = "lung"
    data.obs.loc[data.obs_names[30:35], "donor_id"] = "unknown"
    uri = make_census(data, tmp_path)
    census = {"version": "", "uri": uri, "tissue": ["brain"], "disease": [], "assay": []}
    settings = reference_settings(source="census", census=census)
    fetch_cells(
        settings=settings, path="", seed=17, cells=str(tmp_path / "c.h5ad"), composition=str(tmp_path / "c.tsv")
    )
    cells = anndata.read_h5ad(tmp_path / "c.h5ad")
    rows = cells.obs_names.astype(int)
    assert sorted(rows) == list(range(30, len(data)))
    assert (data.X[rows] != cells.X).nnz == 0
    assert set(cells.obs.loc[["30", "31"], "donor"]) == {f"dataset {data.obs['dataset_id'].iloc[30]}"}


def test_the_query_of_the_census():
    query = Query(tissue=("brain",), disease=("normal", "Alzheimer's disease"), assay=())
    assert query.filter() == (
        "is_primary_data == True and tissue_general in ['brain'] and disease in ['normal', \"Alzheimer's disease\"]"
    )


def test_census_blocks_come_in_the_order_asked_for(data, tmp_path, monkeypatch):
    monkeypatch.setattr("pathgptomic.singlecell.sources.BLOCK", 4)
    cells = CensusCells(Query(uri=make_census(data, tmp_path)))
    wanted = np.array([9, 2, 70, 3, 1, 0, 150])
    blocks = list(cells.counts(wanted))
    assert [block.shape[0] for block in blocks] == [4, 3]
    assert (sp.vstack(blocks) != data.X[wanted]).nnz == 0


def test_the_cap_holds_for_each_type_and_donor_and_does_not_depend_on_the_pieces(data):
    obs = data.obs.rename(columns={"cell_type": "label", "donor_id": "donor"}).assign(position=range(len(data)))
    settings = {"groups": {}, "others": "keep", "cap": 3, "minimum": 2, "seed": 4}
    whole = sample_cells([obs], **settings)
    assert whole.groupby(["cell_type", "donor"]).size().eq(3).all()
    pieces = sample_cells([obs.iloc[start : start + 11] for start in range(0, len(obs), 11)], **settings)
    assert set(pieces.index) == set(whole.index)
    assert set(sample_cells([obs[::-1]], **settings).index) == set(whole.index)
    assert set(sample_cells([obs], **settings | {"seed": 5}).index) != set(whole.index)


def test_groups(data):
    labels = pd.Series(["T cell", "malignant a", "glia"])
    groups = {"T": ["T cell"], "Tumour": ["malignant *"]}
    assert list(group_labels(labels, groups, "drop").fillna("-")) == ["T", "Tumour", "-"]
    assert list(group_labels(labels, groups, "keep")) == ["T", "Tumour", "glia"]
    assert list(group_labels(labels, {}, "drop")) == list(labels)
    with pytest.raises(ValueError, match="'malignant a' is in the groups Tumour and Any"):
        group_labels(labels, groups | {"Any": ["malignant a"]}, "drop")


def test_rare_types_are_left_out_and_one_type_is_not_enough(data, tmp_path, caplog):
    rare = data[[*range(0, 8), *np.flatnonzero(data.obs["cell_type"] != "T cell")]].copy()
    cells = _fetch(rare, tmp_path, minimum_cells=9)
    assert set(cells.obs["cell_type"]) == {"Neuron", "Tumour"}
    assert "cell type 'T' has 8 cells, fewer than 9" in caplog.text
    with pytest.raises(ValueError, match="give 0 cell types of at least 900 cells"):
        _fetch(data, tmp_path, minimum_cells=900)


def test_training_donors_have_every_type_where_that_can_be(data):
    obs = data.obs.rename(columns={"cell_type": "cell_type", "donor_id": "donor"})
    # neurons from two donors only
    obs = obs[(obs["cell_type"] != "neuron") | obs["donor"].isin(["D1", "D4"])]
    for seed in range(5):
        part = split_donors(obs, validation=0.2, test=0.2, seed=seed)
        assert set(part) == {"train", "validation", "test"}
        assert set(obs.loc[part == "train", "cell_type"]) == set(obs["cell_type"])


def test_two_donors_are_not_enough(data, tmp_path):
    with pytest.raises(ValueError, match="has 2 donors, but training, validation and test"):
        _fetch(data[data.obs["donor_id"].isin(["D0", "D1"])].copy(), tmp_path)


def test_donors_from_names_and_other_columns(data, tmp_path):
    file = reference_settings()["file"] | {"donor": "", "pattern": r"^(D\d)_"}
    cells = _fetch(data, tmp_path, file=file)
    assert list(cells.obs["donor"]) == [name[:2] for name in cells.obs_names]
    with pytest.raises(ValueError, match=r"'\^\(X\\d\)' finds nothing in the cell name 'D0_c0000'"):
        _fetch(data, tmp_path, file=file | {"pattern": r"^(X\d)"})
    with pytest.raises(ValueError, match="no obs column 'celltype'; it has cell_type"):
        _fetch(data, tmp_path, file=file | {"label": "celltype"})
    with pytest.raises(ValueError, match=r"no layer 'raw' \(layers: none\)"):
        _fetch(data, tmp_path, file=file | {"layer": "raw"})
    assert has_one_group(r"^(D\d)_")
    assert not has_one_group(r"^D\d_")
    assert not has_one_group(r"(")


def test_counts_in_a_layer(data, tmp_path):
    layered = data.copy()
    layered.layers["counts"] = layered.X.copy()
    layered.X = sp.csr_matrix(np.log1p(layered.X.toarray()))
    file = reference_settings()["file"] | {"layer": "counts"}
    cells = _fetch(layered, tmp_path, file=file)
    assert (cells.X != data[cells.obs_names].X).nnz == 0


def _normalised(x: np.ndarray) -> np.ndarray:
    return x / x.sum(axis=1, keepdims=True) * 1e4


@pytest.mark.parametrize(
    ("change", "counts", "message"),
    [
        (lambda x: x - 1, "integer", "has the value -1, which is no count"),
        (np.log1p, "integer", "which is no whole number"),
        (np.log1p, "expected", "look like logarithms"),
        (_normalised, "expected", "look depth-normalised"),
        (lambda x: x * np.r_[0, np.ones(len(x) - 1)][:, None], "integer", "has 1 cells without any count"),
    ],
)
def test_what_is_no_raw_count_is_refused(data, change, counts, message):
    check = CountCheck(counts, "source.h5ad")

    def look() -> None:
        check.add(sp.csr_matrix(change(data.X.toarray())))
        check.finish()

    with pytest.raises(ValueError, match=message):
        look()


def test_estimated_counts_are_taken_where_the_reference_says_so(data):
    check = CountCheck("expected", "source.h5ad")
    check.add(sp.csr_matrix(data.X.toarray() * 7.3))
    check.finish()


def test_file_blocks_come_in_the_order_asked_for(data, tmp_path, monkeypatch):
    monkeypatch.setattr("pathgptomic.singlecell.sources.BLOCK", 4)
    data.write_h5ad(tmp_path / "source.h5ad")
    cells = FileCells(tmp_path / "source.h5ad", label="cell_type", donor="donor_id")
    wanted = np.array([9, 2, 70, 3, 1, 0, 150])
    assert (sp.vstack(list(cells.counts(wanted))) != data.X[wanted]).nnz == 0
