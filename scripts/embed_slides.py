"""Make the features of one batch of slides (rule embed_slides)."""

from pathgptomic.job import job
from pathgptomic.slides.embed import embed_slides

with job(snakemake):
    embed_slides(
        slides=snakemake.input.slides,
        overrides=snakemake.input.get("mpp"),
        settings=snakemake.params.settings,
        weights=snakemake.input.get("weights"),
        batch=int(snakemake.wildcards.batch),
        device=snakemake.params.device,
        threads=snakemake.threads,
        folder=snakemake.params.folder,
        table_out=snakemake.output.table,
        fetched=snakemake.params.fetched,
    )
