"""Write simulated single cells as a local Census (rule simulate_census)."""

from pathgptomic.cohort.simulate.census import simulate_census
from pathgptomic.job import job

with job(snakemake):
    simulate_census(cells=snakemake.input.cells, census_out=snakemake.output.census)
