"""Single cells of the types that the simulated tumours are mixtures of: a labelled reference, and as a local Census."""

import logging
from collections.abc import Mapping
from typing import Any

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp
from tqdm import tqdm

from pathgptomic.cohort.simulate.expression import cell_profiles
from pathgptomic.cohort.simulate.spec import Spec
from pathgptomic.cohort.simulate.world import CELL_TYPES
from pathgptomic.files import atomic
from pathgptomic.seeds import rng

logger = logging.getLogger(__name__)

DEPTH = 4000.0  # mean counts of a cell


def simulate_cells(*, settings: Mapping[str, Any], seed: int, cells_out: str, census_out: str) -> None:
    """Simulate single cells with the profiles of a cohort's tumours.

    Parameters
    ----------
    settings
        The `simulate` section of the cohort file.
    seed
        Of every random choice; the same as the cohort's, or the profiles are others.
    cells_out
        AnnData file with raw counts, named as the CELLxGENE Census names things.
    census_out
        Folder of the same cells as a local Census (TileDB-SOMA).
    """
    cells = draw_cells(Spec.from_dict(settings), seed)
    with atomic(cells_out) as path:
        cells.write_h5ad(path)
    with atomic(census_out) as folder:
        write_census(cells, str(folder))
    logger.info("simulated %d cells of %d types", len(cells), len(CELL_TYPES))


def draw_cells(spec: Spec, seed: int) -> anndata.AnnData:
    """Draw cells of every type from several donors: Poisson counts around the type's profile, with noise of both."""
    profiles = cell_profiles(spec.genes, seed)
    types = list(CELL_TYPES)
    blocks, labels, donors = [], [], []
    for donor in tqdm(range(spec.donors), desc="donors", unit="donor"):
        generator = rng(seed, "simulate", "cells of donor", donor)
        shift = np.exp(0.2 * generator.normal(size=profiles.tpm.shape))
        for number, name in enumerate(types):
            rate = profiles.tpm[:, number] * shift[:, number]
            size = (spec.cells_per_type, len(rate))
            noisy = rate * np.exp(0.3 * generator.normal(size=size))
            depth = DEPTH * np.exp(0.4 * generator.normal(size=(spec.cells_per_type, 1)))
            counts = generator.poisson(depth * noisy / noisy.sum(axis=1, keepdims=True))
            blocks.append(sp.csr_matrix(counts.astype(np.float32)))
            labels += [name] * spec.cells_per_type
            donors += [f"donor {donor + 1}"] * spec.cells_per_type
    obs = pd.DataFrame(
        {
            "cell_type": labels,
            "donor_id": donors,
            "dataset_id": "simulated",
            "tissue": "brain",
            "tissue_general": "brain",
            "disease": "glioma",
            "assay": "10x 3' v3",
            "suspension_type": "cell",
            "is_primary_data": True,
        },
        index=[f"cell{number:06d}" for number in range(len(labels))],
    )
    genes = profiles.genes
    var = pd.DataFrame(
        {"feature_id": genes["ensembl_id"].to_numpy(), "feature_name": genes["symbol"].to_numpy()},
        index=genes["ensembl_id"].to_numpy(),
    )
    return anndata.AnnData(sp.vstack(blocks, format="csr"), obs, var)


def write_census(cells: anndata.AnnData, folder: str) -> None:
    """Write cells as a collection in the form of the CELLxGENE Census."""
    import tiledbsoma
    import tiledbsoma.io

    numbered = cells.copy()
    numbered.obs_names = [str(number) for number in range(len(cells))]
    with tiledbsoma.Collection.create(folder) as census:
        content = census.add_new_collection("census_data")
        human = tiledbsoma.io.from_anndata(
            f"{folder}/census_data/homo_sapiens", numbered, "RNA", X_layer_name="raw", registration_mapping=None
        )
        with tiledbsoma.open(human) as experiment:
            content.set("homo_sapiens", experiment, use_relative_uri=True)
