"""Simulated single cells are of the types that the simulated tumours are made of."""

import anndata
import numpy as np
import pandas as pd
import pytest

from pathgptomic.cohort.simulate.census import simulate_census
from pathgptomic.cohort.simulate.expression import bulk_expression, cell_profiles
from pathgptomic.cohort.simulate.spec import Spec
from pathgptomic.cohort.simulate.world import CELL_TYPES, simulate
from pathgptomic.singlecell.simulate import simulate_cells


@pytest.fixture(scope="module")
def cells(tmp_path_factory) -> anndata.AnnData:
    path = tmp_path_factory.mktemp("cells") / "cells.h5ad"
    simulate_cells(settings={}, seed=3, donors=6, cells=15, path=str(path))
    return anndata.read_h5ad(path)


def test_cells_explain_the_bulk(cells):
    spec = Spec(patients=150)
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


def test_census_holds_the_cells_of_the_file(cells, tmp_path):
    import cellxgene_census

    cells.write_h5ad(tmp_path / "cells.h5ad")
    simulate_census(cells=tmp_path / "cells.h5ad", census_out=tmp_path / "census")
    with cellxgene_census.open_soma(uri=str(tmp_path / "census")) as census:
        found = cellxgene_census.get_anndata(census, "homo_sapiens", obs_value_filter="cell_type == 'T cell'")
    ours = cells[cells.obs["cell_type"] == "T cell"]
    assert (found.X.toarray() == ours.X.toarray()).all()
    assert found.var["feature_name"].tolist() == ours.var_names.tolist()
    assert found.obs["donor_id"].tolist() == ours.obs["donor_id"].tolist()
