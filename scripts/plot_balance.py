"""Training curves of every network with several branches (rule plot_balance)."""

from pathgptomic.job import job
from pathgptomic.report.figures_balance import plot_balance

with job(snakemake):
    plot_balance(balance=snakemake.input.balance, summary=snakemake.input.summary, out=snakemake.output.figures)
