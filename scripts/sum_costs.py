"""Sum what the runs of this folder have cost (rule sum_costs)."""

from pathgptomic.job import job
from pathgptomic.operations.cost import sum_costs

with job(snakemake):
    sum_costs(stages=snakemake.params.stages, table_out=snakemake.output.table)
