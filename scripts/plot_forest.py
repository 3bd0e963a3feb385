"""C-index of all models (rule plot_forest)."""

from pathgptomic.job import job
from pathgptomic.report.figures_forest import plot_forest

with job(snakemake):
    plot_forest(
        summary=snakemake.input.summary,
        metrics=snakemake.input.metrics,
        headline=snakemake.params.headline,
        clinical=snakemake.params.clinical,
        out=snakemake.output.figure,
        narrow=snakemake.output.narrow,
    )
