"""Measure how far bulk samples lie from mixtures, before and after an adapter (rule measure_domain)."""

from pathgptomic.genomics.adapt import measure_domain
from pathgptomic.job import job

with job(snakemake):
    measure_domain(
        adapter=snakemake.wildcards.adapter,
        folder=snakemake.input.adapter,
        bulk=snakemake.input.bulk,
        mixtures=snakemake.input.mixtures,
        embeddings=snakemake.input.embeddings,
        seed=snakemake.params.seed,
        domain=snakemake.output.domain,
    )
