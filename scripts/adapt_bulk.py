"""Apply an adapter to the bulk samples of a cohort (rule adapt_bulk)."""

from pathgptomic.genomics.adapt import adapt_bulk
from pathgptomic.job import job

with job(snakemake):
    adapt_bulk(
        embeddings=snakemake.input.embeddings,
        folder=snakemake.input.get("adapter", ""),
        adapted=snakemake.output.adapted,
    )
