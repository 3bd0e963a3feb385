"""Make a small scGPT checkpoint with random weights (rule make_tiny_checkpoint)."""

from pathlib import Path

from pathgptomic.genomics.tiny_checkpoint import make_tiny_checkpoint
from pathgptomic.job import job

with job(snakemake):
    make_tiny_checkpoint(
        expression=list(snakemake.input.expression),
        folder=str(Path(snakemake.output.weights).parent),
        seed=snakemake.params.seed,
    )
