"""Say how the results of a cohort were made (rule record_run)."""

from pathgptomic.job import job
from pathgptomic.operations.lineage import record_run

with job(snakemake):
    record_run(
        cohort=snakemake.wildcards.cohort,
        targets=list(snakemake.input),
        threads=snakemake.threads,
        run_out=snakemake.output.run,
    )
