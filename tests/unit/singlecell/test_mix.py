"""Mixtures: sums, labels, seeds."""

from pathlib import Path

import anndata
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathgptomic.singlecell import mix
from pathgptomic.singlecell.cells import fetch_cells
from pathgptomic.singlecell.mix import MixSettings, draw_few, draw_many, mix_cells
from tests.unit.singlecell.reference import make_cells, reference_settings

SETTINGS = {"train": 12, "validation": 6, "test": 6, "cells": [10, 40]}


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cells")
    make_cells().write_h5ad(folder / "source.h5ad")
    fetch_cells(
        settings=reference_settings(),
        path=str(folder / "source.h5ad"),
        seed=1,
        cells=str(folder / "cells.h5ad"),
        composition=str(folder / "composition.tsv"),
    )
    return folder / "cells.h5ad"


def _mix(cells: Path, path: Path, seed: int = 17, **changes) -> anndata.AnnData:
    mix_cells(cells=str(cells), settings=SETTINGS | changes, seed=seed, mixtures=str(path))
    return anndata.read_h5ad(path)


def _redraw(reference: anndata.AnnData, name: str, seed: int, types: list[str]) -> mix.Mixture:
    """Return the mixture of a name, drawn once more on its own."""
    form, part, number = name.split("-")
    codes = np.array([types.index(kind) for kind in reference.obs.loc[reference.obs["part"] == part, "cell_type"]])
    generator = mix.rng(seed, "mixture", form, part, int(number))
    if form == "pseudobulk":
        return draw_many(codes, len(types), MixSettings(1, 1, 1, cells=(10, 40)), generator)
    return draw_few(codes, len(types), {"cells": 1, "pairs": 2}[form], generator)


@pytest.mark.parametrize("combine", ["normalised", "raw"])
def test_profiles_and_labels_are_those_of_the_cells_drawn(cells, tmp_path, combine, monkeypatch):
    monkeypatch.setattr(mix, "TOGETHER", 5)
    mixtures, reference = _mix(cells, tmp_path / "m.h5ad", combine=combine), anndata.read_h5ad(cells)
    types = list(mixtures.uns["cell_types"])
    assert types == ["Neuron", "T", "Tumour"]
    assert len(mixtures) == 3 * 24
    np.testing.assert_allclose(mixtures.obsm["fractions"].sum(axis=1), 1, atol=1e-6)
    for row, name in enumerate(mixtures.obs_names):
        drawn = _redraw(reference, name, 17, types)
        part = reference[reference.obs["part"] == name.split("-")[1]]
        x = part.X[drawn.cells].toarray().astype(float)
        if combine == "normalised":
            x = x / x.sum(axis=1, keepdims=True) * 1e4
        weights = drawn.weights / (drawn.weights.sum() if combine == "normalised" else 1)
        np.testing.assert_allclose(mixtures.X[row].toarray()[0], weights @ x, rtol=1e-5)
        held = part.obs["cell_type"].iloc[drawn.cells]
        label = [drawn.weights[(held == kind).to_numpy()].sum() / drawn.weights.sum() for kind in types]
        np.testing.assert_allclose(mixtures.obsm["fractions"][row], label, atol=1e-6)
        assert mixtures.obs["cells"].iloc[row] == len(drawn.cells)


def test_a_mixture_depends_on_its_seed_and_number_only(cells, tmp_path):
    first = _mix(cells, tmp_path / "1.h5ad")
    more = _mix(cells, tmp_path / "2.h5ad", train=30, forms=["pseudobulk", "pairs"])
    shared = first.obs_names.intersection(more.obs_names)
    assert len(shared) == 48
    assert (first[shared].X != more[shared].X).nnz == 0
    other = _mix(cells, tmp_path / "3.h5ad", seed=18)
    assert (first.X != other.X).nnz > 0
    assert (first.X != _mix(cells, tmp_path / "4.h5ad").X).nnz == 0


def test_pairs_are_of_two_cells_and_lambda_is_uniform():
    codes = np.array([0, 1])
    drawn = [draw_few(codes, 2, 2, np.random.default_rng(seed)) for seed in range(2000)]
    assert all(set(mixture.cells) == {0, 1} for mixture in drawn)
    shares = np.array([mixture.fractions[0] for mixture in drawn])
    np.testing.assert_allclose(np.quantile(shares, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.04)


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_pseudobulk_counts_and_fractions(seed: int):
    codes = np.repeat([0, 2, 3], [1, 5, 9])  # this part has no cell of type 1
    drawn = draw_many(codes, 4, MixSettings(1, 1, 1, cells=(10, 50)), np.random.default_rng(seed))
    assert 10 <= len(drawn.cells) <= 50
    assert drawn.fractions[1] == 0
    np.testing.assert_allclose(drawn.fractions, np.bincount(codes[drawn.cells], minlength=4) / len(drawn.cells))


def test_half_of_the_pseudobulk_is_sparse():
    codes = np.repeat(np.arange(8), 20)

    def empty(share: float) -> float:
        chosen = MixSettings(1, 1, 1, cells=(400, 500), sparse=share)
        return np.mean([draw_many(codes, 8, chosen, np.random.default_rng(s)).fractions == 0 for s in range(300)])

    assert empty(0.0) < 0.05
    assert empty(0.5) == pytest.approx(0.5 * 7 / 16, abs=0.07)
