"""Evaluate an adapter on donors and mixtures that it never saw (rule evaluate_adapter)."""

from pathgptomic.genomics.evaluate import evaluate_adapter
from pathgptomic.job import job

with job(snakemake):
    evaluate_adapter(
        adapter=snakemake.wildcards.adapter,
        folder=snakemake.input.adapter,
        mixtures=snakemake.input.mixtures,
        embeddings=snakemake.input.embeddings,
        seed=snakemake.params.seed,
        evaluation=snakemake.output.evaluation,
    )
