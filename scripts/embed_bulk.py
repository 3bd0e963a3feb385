"""Embed the bulk samples of a cohort with scGPT (rule embed_bulk)."""

from pathlib import Path

from pathgptomic.genomics.embed import embed_profiles
from pathgptomic.job import job

with job(snakemake):
    embed_profiles(
        expression=snakemake.input.expression,
        checkpoint=str(Path(snakemake.input.weights).parent),
        sha256=snakemake.params.sha256,
        settings=snakemake.params.settings,
        seed=snakemake.params.seed,
        device=snakemake.params.device,
        backend=snakemake.params.backend,
        index=snakemake.params.index,
        embeddings=snakemake.output.embeddings,
        quality=snakemake.output.quality,
    )
