"""Read the fetched files of the GDC and write the checked cohort (rule build_gdc_cohort)."""

from pathlib import Path

from pathgptomic.cohort.gdc.build import build_gdc_cohort
from pathgptomic.job import job

with job(snakemake):
    build_gdc_cohort(
        manifest=snakemake.input.manifest,
        answers=snakemake.input.answers,
        folder=snakemake.params.folder,
        outcomes=snakemake.input.get("outcomes"),
        positions=snakemake.input.get("positions"),
        settings=snakemake.params.settings,
        out=str(Path(snakemake.output.patients).parent),
        replicates_out=snakemake.output.replicates,
    )
