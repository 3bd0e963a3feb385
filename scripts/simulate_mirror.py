"""Simulate a cohort with a known truth as a mirror of the GDC (rule simulate_mirror)."""

from pathgptomic.cohort.simulate.mirror import simulate_mirror
from pathgptomic.job import job

with job(snakemake):
    simulate_mirror(
        settings=snakemake.params.settings,
        seed=snakemake.params.seed,
        threads=snakemake.threads,
        mirror_out=snakemake.output.mirror,
        truth_out=snakemake.output.truth,
        hazards_out=snakemake.output.hazards,
    )
