"""C-index on fitted, left-out and test patients (rule plot_gap)."""

from pathgptomic.job import job
from pathgptomic.report.figures_gap import plot_gap

with job(snakemake):
    plot_gap(metrics=snakemake.input.metrics, catalogue=snakemake.params.models, out=snakemake.output.figure)
