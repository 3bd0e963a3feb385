"""Kaplan-Meier curves of the risk groups of every model (rule plot_survival_curves)."""

from pathgptomic.job import job
from pathgptomic.report.figures_survival import plot_survival_curves

with job(snakemake):
    plot_survival_curves(
        curves=snakemake.input.curves,
        groups=snakemake.input.groups,
        summary=snakemake.input.summary,
        out=snakemake.output.figures,
    )
