"""Predict new patients with a trained model (rule predict_patients)."""

from pathgptomic.job import job
from pathgptomic.survival.predict import predict_patients

with job(snakemake):
    predict_patients(
        weights=snakemake.input.weights,
        facts=snakemake.input.facts,
        tables=dict(zip(snakemake.params.modalities, snakemake.input.tables, strict=True)),
        months=snakemake.params.months,
        out=snakemake.output.patients,
    )
