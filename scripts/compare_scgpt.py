"""Compare our encoder with the published scgpt package (rule compare_scgpt)."""

from pathlib import Path

from pathgptomic.genomics.backends import compare_backends
from pathgptomic.job import job

with job(snakemake):
    compare_backends(
        expression=snakemake.input.expression,
        checkpoint=str(Path(snakemake.input.weights).parent),
        minimum_known=snakemake.params.minimum_known,
        profiles=snakemake.params.profiles,
        seed=snakemake.params.seed,
        device=snakemake.params.device,
        comparison=snakemake.output.comparison,
    )
