"""A reference and mixtures from real glioma cells (Tirosh et al. 2016, Smart-seq2)."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from pathgptomic.singlecell.cells import fetch_cells
from pathgptomic.singlecell.mix import mix_cells

SETTINGS = {
    "source": "h5ad",
    "file": {"label": "cell_type", "donor": "", "pattern": r"^(?:MGH)?(\d+)", "layer": "", "symbols": ""},
    "census": {},
    "counts": "expected",
    "groups": {
        "Malignant": ["malignant_*"],
        "Oligodendrocyte": ["Oligodendrocytes*"],
        "Microglia/Macrophage": ["Microglia*"],
    },
    "others": "drop",
    "cap": 500,
    "minimum_cells": 10,
    "held_out": {"validation": 0.2, "test": 0.2},
}


def _fetch(shared: Path, folder: Path, **changes) -> anndata.AnnData:
    fetch_cells(
        settings=SETTINGS | changes,
        path=str(shared / "data" / "singlecell" / "oligodendroglioma.h5ad"),
        seed=17,
        cells=str(folder / "cells.h5ad"),
        composition=str(folder / "composition.tsv"),
    )
    return anndata.read_h5ad(folder / "cells.h5ad")


def test_real_cells_become_a_reference_and_mixtures(shared: Path, tmp_path: Path):
    cells = _fetch(shared, tmp_path)
    assert len(cells) == 184
    assert cells.obs["cell_type"].value_counts().to_dict() == {
        "Malignant": 142,
        "Oligodendrocyte": 23,
        "Microglia/Macrophage": 19,
    }
    donors = pd.crosstab(cells.obs["donor"], cells.obs["part"])
    assert sorted(donors.index) == ["36", "53", "54", "93", "97"]
    assert ((donors > 0).sum(axis=1) == 1).all()
    # only three of the five tumours have normal cells: training has them all the same
    train = cells.obs[cells.obs["part"] == "train"]
    assert train["cell_type"].nunique() == 3
    mix_cells(
        cells=str(tmp_path / "cells.h5ad"),
        settings={"train": 20, "validation": 10, "test": 10},
        seed=17,
        mixtures=str(tmp_path / "mixtures.h5ad"),
    )
    mixtures = anndata.read_h5ad(tmp_path / "mixtures.h5ad")
    expressed = pd.Series(np.diff(mixtures.X.indptr), index=mixtures.obs["form"].astype(str)).groupby(level=0).median()
    assert expressed["cells"] < expressed["pairs"] < expressed["pseudobulk"]
    # each cell is scaled to 10,000 counts, and so is every mean of them
    np.testing.assert_allclose(mixtures.X.sum(axis=1), 1e4, rtol=1e-4)


def test_estimated_counts_are_refused_until_the_reference_says_so(shared: Path, tmp_path: Path):
    with pytest.raises(ValueError, match=r"no whole number; .* or set counts: expected"):
        _fetch(shared, tmp_path, counts="integer")
