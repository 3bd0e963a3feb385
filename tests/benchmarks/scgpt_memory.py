"""Steps whose peak memory is measured, each in a process of its own; every `measure_` prints JSON."""

import json
import resource
import sys
import time
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp

GENES = 60_694
GIGABYTE = 1024**2  # in kilobytes, the unit of ru_maxrss


def prepare_bulk_1000_memory(folder: str) -> None:
    """Write 1,000 bulk profiles of 18,000 expressed genes and a checkpoint of the official width."""
    from pathgptomic.genomics.tiny_checkpoint import OFFICIAL, write_checkpoint

    names = [f"G{number}" for number in range(GENES)]
    if not (Path(folder) / "checkpoint").is_dir():
        write_checkpoint(Path(folder) / "checkpoint", genes=names, sizes=OFFICIAL | {"layers": 1}, seed=1)
    generator = np.random.default_rng(1)
    x = generator.lognormal(3, 2, (1000, 18_000)).astype(np.float32)
    profiles = pd.DataFrame(index=[f"P{number:04d}" for number in range(1000)])
    anndata.AnnData(x, profiles, pd.DataFrame(index=names[:18_000])).write_h5ad(Path(folder) / "expression.h5ad")


def measure_bulk_1000_memory(folder: str) -> None:
    """Embed them with every gene shown, and print the peak memory less the weights of the official checkpoint.

    One layer stands for the twelve: they are run one after the other, and what a batch occupies in one is freed before
    the next.
    """
    from pathgptomic.genomics.embed import embed_profiles

    start = time.process_time()
    embed_profiles(
        expression=f"{folder}/expression.h5ad",
        checkpoint=f"{folder}/checkpoint",
        sha256="",
        settings={"quality_profiles": 0},
        seed=1,
        device="cpu",
        backend="native",
        index="patient_id",
        embeddings=f"{folder}/embeddings.parquet",
        quality=f"{folder}/quality.tsv",
    )
    weights = 4 * (GENES + 3) * 512 / 1024**3
    _print(
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / GIGABYTE - weights,
        f"1,000 profiles x 18,000 genes, 16 parts each, official width, one layer, {weights:.2f} GB of gene table "
        f"subtracted, {time.process_time() - start:.0f} CPU s",
    )


def prepare_census_100k_memory(folder: str) -> None:
    """Write a local Census of 120,000 cells with 1,000 expressed of 20,000 genes each."""
    from tests.unit.singlecell.reference import make_census

    if (Path(folder) / "census").is_dir():
        return
    generator = np.random.default_rng(1)
    cells, genes, each = 120_000, 20_000, 1_000
    step = genes // each  # one gene of every step, so that a cell's genes are in order
    indices = generator.integers(0, step, (cells, each), dtype=np.int32) + np.arange(0, genes, step, dtype=np.int32)
    counts = generator.geometric(0.4, cells * each).astype(np.float32)
    x = sp.csr_matrix((counts, indices.ravel(), np.arange(0, cells * each + 1, each)), shape=(cells, genes))
    obs = pd.DataFrame(
        {
            "cell_type": [f"type {number}" for number in generator.integers(0, 20, cells)],
            "donor_id": [f"donor {number}" for number in generator.integers(0, 30, cells)],
            "tissue_general": "brain",
            "disease": "normal",
            "assay": "10x 3' v3",
            "is_primary_data": generator.random(cells) < 0.9,
            "dataset_id": "one",
        },
        index=[str(number) for number in range(cells)],
    )
    symbols = [f"G{number}" for number in range(genes)]
    var = pd.DataFrame({"feature_name": symbols}, index=[f"ENSG{number}" for number in range(genes)])
    make_census(anndata.AnnData(x, obs, var), Path(folder))


def measure_census_100k_memory(folder: str) -> None:
    """Fetch 100,000 cells from it and print the peak memory."""
    from pathgptomic.singlecell.cells import fetch_cells
    from tests.unit.singlecell.reference import reference_settings

    census = {"version": "", "uri": f"{folder}/census", "tissue": ["brain"], "disease": [], "assay": []}
    start = time.process_time()
    fetch_cells(
        settings=reference_settings(source="census", census=census, groups={}, others="keep", cap=1000),
        path="",
        seed=1,
        cells=f"{folder}/cells.h5ad",
        composition=f"{folder}/composition.tsv",
    )
    taken = pd.read_csv(f"{folder}/composition.tsv", sep="\t")["cells"].sum()
    _print(
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / GIGABYTE,
        f"{taken:,} of 120,000 cells, 20,000 genes, 1,000 expressed a cell, {time.process_time() - start:.0f} CPU s",
    )


def _print(gigabytes: float, conditions: str) -> None:
    sys.stdout.write(json.dumps({"gigabytes": gigabytes, "conditions": conditions}) + "\n")
