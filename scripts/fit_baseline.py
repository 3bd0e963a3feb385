"""Fit a classical baseline on every fold (rule fit_baseline)."""

from pathgptomic.job import job
from pathgptomic.survival.baselines import fit_baseline

with job(snakemake):
    fit_baseline(
        name=snakemake.wildcards.model,
        paths=dict(snakemake.input.items()),
        covariates=snakemake.params.covariates,
        seed=snakemake.params.seed,
        out=snakemake.output.predictions,
    )
