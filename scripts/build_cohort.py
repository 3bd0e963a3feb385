"""Build a cohort at patient level from local tables (rule build_cohort)."""

from pathlib import Path

from pathgptomic.cohort.build import build_cohort
from pathgptomic.job import job

with job(snakemake):
    build_cohort(
        files=dict(snakemake.input.items()),
        settings=snakemake.params.settings,
        out=str(Path(snakemake.output.patients).parent),
    )
