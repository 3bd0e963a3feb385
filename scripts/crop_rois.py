"""Regions of interest of a cohort as one array (rule crop_rois)."""

from pathgptomic.job import job
from pathgptomic.slides.rois import crop_rois

with job(snakemake):
    crop_rois(
        patients=snakemake.input.patients,
        slides=snakemake.input.slides,
        pictures=snakemake.input.get("pictures"),
        overrides=snakemake.input.get("mpp"),
        settings=snakemake.params.settings,
        seed=snakemake.params.seed,
        threads=snakemake.threads,
        folder=snakemake.params.folder,
        pictures_out=snakemake.output.pictures,
        table_out=snakemake.output.table,
    )
