"""Draw the attention of a bag model over the slides (rule draw_heatmaps)."""

from pathgptomic.job import job
from pathgptomic.slides.heatmap import draw_heatmaps

with job(snakemake):
    draw_heatmaps(
        attention=snakemake.input.attention,
        bags=snakemake.input.bags,
        slides=snakemake.input.slides,
        features=snakemake.input.features,
        thumbnails=snakemake.params.thumbnails,
        folder_out=snakemake.output.folder,
        sheet_out=snakemake.output.sheet,
    )
