"""Simulate a cohort with a known truth as tables (rule simulate_cohort)."""

from pathgptomic.cohort.simulate.tables import simulate_tables
from pathgptomic.job import job

with job(snakemake):
    simulate_tables(
        settings=snakemake.params.settings,
        seed=snakemake.params.seed,
        clinical_out=snakemake.output.clinical,
        expression_out=snakemake.output.expression,
        cnv_out=snakemake.output.cnv,
        mutations_out=snakemake.output.mutations,
        features_out=snakemake.output.features,
        truth_out=snakemake.output.truth,
        hazards_out=snakemake.output.hazards,
    )
