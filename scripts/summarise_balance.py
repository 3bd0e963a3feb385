"""Training histories of all models as one table of curves (rule summarise_balance)."""

from pathgptomic.job import job
from pathgptomic.report.balance_view import summarise_balance

with job(snakemake):
    summarise_balance(
        histories=dict(zip(snakemake.params.models, snakemake.input.histories, strict=True)),
        out=snakemake.output.balance,
    )
