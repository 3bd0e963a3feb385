"""Simulated single cells are of the types that the simulated tumours are made of."""

import anndata
import numpy as np
import pandas as pd

from pathgptomic.cohort.simulate.cells import draw_cells, simulate_cells
from pathgptomic.cohort.simulate.expression import bulk_expression, cell_profiles
from pathgptomic.cohort.simulate.spec import Spec
from pathgptomic.cohort.simulate.world import CELL_TYPES, simulate

SMALL = {"genes": 300, "donors": 3, "cells_per_type": 5}


def test_cells_explain_the_bulk():
    spec = Spec(patients=150, genes=2000, donors=6, cells_per_type=15)
    cells = draw_cells(spec, 3)
    assert (cells.X.data == cells.X.data.astype(int)).all()
    totals = pd.DataFrame(cells.X.toarray()).groupby(cells.obs["cell_type"].to_numpy()).sum()
    seen = (totals.div(totals.sum(axis=1), axis=0) * 1e6).T[list(CELL_TYPES)]
    for number, name in enumerate(CELL_TYPES):
        assert np.corrcoef(np.log1p(seen[name]), np.log1p(cell_profiles(2000, 3).tpm[:, number]))[0, 1] > 0.95
    # shares read off the bulk with the cells' own profiles are the planted ones
    world = simulate(spec, 3)
    bulk = bulk_expression(world, spec, 3)
    # noise is relative, so every gene counts on its own scale
    scale = bulk.mean().to_numpy()
    fitted = np.linalg.lstsq(seen.to_numpy() / scale[:, None], (bulk / scale).to_numpy().T, rcond=None)[0].T
    for number, name in enumerate(CELL_TYPES):
        assert np.corrcoef(fitted[:, number], world.cells[name])[0, 1] > 0.5, name


def test_file_and_census_hold_the_same_cells(tmp_path):
    import cellxgene_census

    simulate_cells(settings=SMALL, seed=1, cells_out=str(tmp_path / "c.h5ad"), census_out=str(tmp_path / "census"))
    cells = anndata.read_h5ad(tmp_path / "c.h5ad")
    assert cells.obs["cell_type"].value_counts().to_dict() == dict.fromkeys(CELL_TYPES, 15)
    with cellxgene_census.open_soma(uri=str(tmp_path / "census")) as census:
        found = cellxgene_census.get_anndata(census, "homo_sapiens", obs_value_filter="cell_type == 'T cell'")
    ours = cells[cells.obs["cell_type"] == "T cell"]
    assert (found.X.toarray() == ours.X.toarray()).all()
    assert found.var["feature_name"].tolist() == ours.var["feature_name"].tolist()
    simulate_cells(settings=SMALL, seed=1, cells_out=str(tmp_path / "again.h5ad"), census_out=str(tmp_path / "census"))
    assert (anndata.read_h5ad(tmp_path / "again.h5ad").X != cells.X).nnz == 0
