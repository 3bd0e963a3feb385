"""Fetch one batch of the slides of a locked cohort (rule fetch_slides)."""

from pathgptomic.cohort.gdc.fetch import fetch_slides
from pathgptomic.job import job
from pathgptomic.slides.choose import batch_of

with job(snakemake):
    fetch_slides(
        manifest=snakemake.input.manifest,
        slides=snakemake.input.slides,
        in_batch=lambda slide_id: batch_of(slide_id, snakemake.params.batches) == int(snakemake.wildcards.batch),
        folder=snakemake.params.folder,
        mirror=snakemake.params.mirror,
        access=snakemake.params.access,
        fetched_out=snakemake.output.fetched,
    )
