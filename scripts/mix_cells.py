"""Mix the cells of a reference into labelled profiles (rule mix_cells)."""

from pathgptomic.job import job
from pathgptomic.singlecell.mix import mix_cells

with job(snakemake):
    mix_cells(
        cells=snakemake.input.cells,
        settings=snakemake.params.settings,
        seed=snakemake.params.seed,
        mixtures=snakemake.output.mixtures,
    )
