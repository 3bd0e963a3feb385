"""Simulate labelled single cells of a simulated cohort (rule simulate_cells)."""

from pathgptomic.job import job
from pathgptomic.singlecell.simulate import simulate_cells

with job(snakemake):
    simulate_cells(
        settings=snakemake.params.settings,
        seed=snakemake.params.seed,
        donors=8,
        cells=25,
        path=snakemake.output.cells,
    )
