"""Compare bulk samples with mixtures as scGPT sees them (rule compare_mixtures)."""

from pathgptomic.genomics.coverage import compare_mixtures
from pathgptomic.job import job

with job(snakemake):
    compare_mixtures(
        bulk=snakemake.input.bulk,
        mixtures=snakemake.input.mixtures,
        vocabulary=snakemake.input.vocabulary,
        minimum_known=snakemake.params.minimum_known,
        seed=snakemake.params.seed,
        table=snakemake.output.table,
        figure=snakemake.output.figure,
    )
