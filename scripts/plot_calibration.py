"""Predicted beside observed survival of every model (rule plot_calibration)."""

from pathgptomic.job import job
from pathgptomic.report.figures_calibration import plot_calibration

with job(snakemake):
    plot_calibration(
        calibration=snakemake.input.calibration, summary=snakemake.input.summary, out=snakemake.output.figures
    )
