"""Average the standardised risks of several models (rule combine_models)."""

from pathgptomic.job import job
from pathgptomic.survival.combine import combine_models

with job(snakemake):
    combine_models(
        members=dict(zip(snakemake.params.members, snakemake.input.members, strict=True)),
        patients=snakemake.input.patients,
        splits=snakemake.input.splits,
        weights=snakemake.params.weights,
        out=snakemake.output.predictions,
    )
