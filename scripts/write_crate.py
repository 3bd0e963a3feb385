"""Describe a run as an RO-Crate (rule write_crate)."""

from pathgptomic.job import job
from pathgptomic.operations.crate import write_crate

with job(snakemake):
    write_crate(
        cohort=snakemake.wildcards.cohort,
        title=snakemake.params.title,
        report=snakemake.input.report,
        run=snakemake.input.run,
        crate_out=snakemake.output.crate,
    )
