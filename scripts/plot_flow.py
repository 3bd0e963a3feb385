"""Patient flow of a cohort (rule plot_flow)."""

from pathgptomic.job import job
from pathgptomic.report.figures_flow import plot_flow

with job(snakemake):
    plot_flow(flow=snakemake.input.flow, splits=snakemake.input.splits, out=snakemake.output.figure)
