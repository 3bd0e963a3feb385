"""Fetch the Python packages of the environments (rule fetch_wheels)."""

from pathgptomic.job import job
from pathgptomic.operations.wheels import fetch_wheels

with job(snakemake):
    fetch_wheels(pins=snakemake.params.pins, wheels_out=snakemake.output.wheels)
