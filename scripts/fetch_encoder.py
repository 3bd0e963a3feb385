"""Download the weights of the tile encoder (rule fetch_encoder)."""

from pathgptomic.job import job
from pathgptomic.slides.encoders import fetch_encoder

with job(snakemake):
    fetch_encoder(name=snakemake.params.encoder, weights_out=snakemake.output.weights)
