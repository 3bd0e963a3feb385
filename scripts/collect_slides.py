"""Join the batches of a cohort's slides (rule collect_slides)."""

from pathgptomic.job import job
from pathgptomic.slides.collect import collect_slides

with job(snakemake):
    collect_slides(
        tables=list(snakemake.input.tables),
        maximum_lost=snakemake.params.maximum_lost,
        table_out=snakemake.output.table,
        features_out=snakemake.output.features,
        sheet_out=snakemake.output.sheet,
        facts_out=snakemake.output.facts,
    )
