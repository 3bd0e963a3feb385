"""Ask the GDC what a cohort is and hold it against its lock (rule lock_cohort)."""

from pathgptomic.cohort.gdc.lock import lock_cohort
from pathgptomic.job import job

with job(snakemake):
    lock_cohort(
        cohort=snakemake.wildcards.cohort,
        gdc=snakemake.params.gdc,
        modalities=snakemake.params.modalities,
        access=snakemake.params.access,
        mirror=snakemake.params.mirror,
        lock=snakemake.input.get("lock"),
        manifest_out=snakemake.output.manifest,
        drift_out=snakemake.output.drift,
        answers_out=snakemake.output.answers,
    )
