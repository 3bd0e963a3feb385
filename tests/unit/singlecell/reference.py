"""A small single-cell data set with known types, as .h5ad and as a local Census."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp

TYPES = {"T cell": 8, "neuron": 6, "malignant a": 7, "malignant b": 7}
GROUPS = {"T": ["T cell"], "Neuron": ["neuron"], "Tumour": ["malignant *"]}


def make_cells(donors: int = 6, genes: int = 60, seed: int = 1) -> anndata.AnnData:
    """Return raw counts in which every type has marker genes of its own."""
    generator = np.random.default_rng(seed)
    obs, rows = [], []
    for donor in range(donors):
        for number, (label, cells) in enumerate(TYPES.items()):
            rate = np.full(genes, 0.3)
            rate[10 * number : 10 * number + 10] = 6
            for _ in range(cells):
                rows.append(generator.poisson(rate * generator.lognormal(0, 0.4)))
                obs.append((label, f"D{donor}", "brain", "normal", "10x 3' v3", True, f"set{donor % 2}"))
    x = np.array(rows, dtype=np.float32)
    x[:, -1] += 1  # no cell is empty
    columns = ["cell_type", "donor_id", "tissue_general", "disease", "assay", "is_primary_data", "dataset_id"]
    names = [f"{donor}_c{row:04d}" for row, (_, donor, *_) in enumerate(obs)]
    var = pd.DataFrame(
        {"feature_name": [f"G{number}" for number in range(genes)]}, index=[f"ENSG{n}" for n in range(genes)]
    )
    return anndata.AnnData(sp.csr_matrix(x), pd.DataFrame(obs, columns=columns, index=names), var)


def make_census(data: anndata.AnnData, folder: Path) -> str:
    """Write a local Census (TileDB-SOMA) and return its address."""
    import tiledbsoma
    import tiledbsoma.io

    uri = str(folder / "census")
    data = data.copy()
    data.obs_names = [str(number) for number in range(len(data))]
    with tiledbsoma.Collection.create(uri) as census:
        content = census.add_new_collection("census_data")
        human = tiledbsoma.io.from_anndata(f"{uri}/census_data/homo_sapiens", data, "RNA", X_layer_name="raw")
        with tiledbsoma.open(human) as experiment:
            content.set("homo_sapiens", experiment)
    return uri


def reference_settings(**changes) -> dict:
    """Return the settings of an h5ad reference, as the schema fills them in."""
    file = {"label": "cell_type", "donor": "donor_id", "pattern": "", "layer": "", "symbols": "feature_name"}
    settings = {
        "source": "h5ad",
        "file": file,
        "census": {"version": "", "uri": "", "tissue": [], "disease": [], "assay": []},
        "counts": "integer",
        "groups": GROUPS,
        "others": "drop",
        "cap": 100,
        "minimum_cells": 5,
        "held_out": {"validation": 0.2, "test": 0.2},
    }
    return settings | changes
