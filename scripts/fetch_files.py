"""Fetch the molecular files of a locked cohort (rule fetch_files)."""

from pathgptomic.cohort.gdc.fetch import fetch_files
from pathgptomic.job import job

with job(snakemake):
    fetch_files(
        manifest=snakemake.input.manifest,
        modalities=snakemake.params.modalities,
        folder=snakemake.params.folder,
        mirror=snakemake.params.mirror,
        access=snakemake.params.access,
        fetched_out=snakemake.output.fetched,
    )
