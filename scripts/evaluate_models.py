"""Metrics, comparisons and survival curves of every model of a cohort (rule evaluate_models)."""

from pathgptomic.job import job
from pathgptomic.report.evaluate import evaluate_models
from pathgptomic.report.settings import EvaluationSettings

with job(snakemake):
    evaluate_models(
        predictions=dict(zip(snakemake.params.models, snakemake.input.predictions, strict=True)),
        models=snakemake.params.models,
        patients=snakemake.input.patients,
        splits=snakemake.input.splits,
        settings=EvaluationSettings.from_config(
            snakemake.params.settings, subgroups=snakemake.params.subgroups, seed=snakemake.params.seed
        ),
        out=dict(snakemake.output.items()),
    )
