"""Fetch a labelled single-cell reference (rule fetch_cells)."""

from pathgptomic.job import job
from pathgptomic.singlecell.cells import fetch_cells

with job(snakemake):
    fetch_cells(
        settings=snakemake.params.settings,
        path=snakemake.input.get("file", ""),
        seed=snakemake.params.seed,
        cells=snakemake.output.cells,
        composition=snakemake.output.composition,
    )
