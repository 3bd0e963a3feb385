"""Train a fusion model on every fold of a cohort (rule train_model)."""

from pathgptomic.job import job
from pathgptomic.survival.train import train_model

with job(snakemake):
    train_model(
        paths=dict(snakemake.input.items()),
        covariates=snakemake.params.covariates,
        settings=snakemake.params.settings,
        seeds=snakemake.params.seeds,
        seed=snakemake.params.seed,
        device=snakemake.params.device,
        predictions=snakemake.output.predictions,
        history=snakemake.output.history,
        weights=snakemake.output.weights,
        facts=snakemake.output.facts,
    )
