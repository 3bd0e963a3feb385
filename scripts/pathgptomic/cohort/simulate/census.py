"""Simulated single cells as a local Census (TileDB-SOMA), for whoever reads references from there."""

from pathlib import Path

import anndata

from pathgptomic.files import atomic

# what the Census says of every cell, beside its type and donor
FACTS = {
    "dataset_id": "simulated",
    "tissue": "brain",
    "tissue_general": "brain",
    "disease": "glioma",
    "assay": "10x 3' v3",
    "suspension_type": "cell",
    "is_primary_data": True,
}


def simulate_census(*, cells: str | Path, census_out: str | Path) -> None:
    """Write labelled cells in the form of the CELLxGENE Census.

    Parameters
    ----------
    cells
        AnnData file of raw counts; obs has cell_type and donor_id, the index of var is the gene symbol.
    census_out
        Folder of the Census.
    """
    import tiledbsoma
    import tiledbsoma.io

    data = anndata.read_h5ad(cells)
    data.obs = data.obs[["cell_type", "donor_id"]].astype(str).assign(**FACTS)
    data.obs_names = [str(number) for number in range(len(data))]
    data.var["feature_name"] = data.var_names.astype(str)
    data.var_names = [f"ENSGSIM{number:05d}" for number in range(data.n_vars)]
    with atomic(census_out) as folder, tiledbsoma.Collection.create(str(folder)) as census:
        content = census.add_new_collection("census_data")
        human = tiledbsoma.io.from_anndata(f"{folder}/census_data/homo_sapiens", data, "RNA", X_layer_name="raw")
        with tiledbsoma.open(human) as experiment:
            # a relative address, since the folder is renamed when it is whole
            content.set("homo_sapiens", experiment, use_relative_uri=True)
