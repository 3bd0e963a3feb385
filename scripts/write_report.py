"""The report of one cohort as a self-contained page, and its table as text (rule write_report)."""

from pathlib import Path

from pathgptomic.job import job
from pathgptomic.report.html import write_report

with job(snakemake):
    write_report(
        files=dict(snakemake.input.items()),
        figures=Path(snakemake.input.forest).parent,
        catalogue=snakemake.params.models,
        cohort=snakemake.params.cohort,
        model=snakemake.params.model,
        facts=snakemake.params.facts,
        data=snakemake.input.data,
        benchmarks=snakemake.params.benchmarks,
        inserts=snakemake.params.inserts,
        slide_pictures=snakemake.params.slide_pictures,
        out=snakemake.output.report,
        text=snakemake.output.text,
    )
