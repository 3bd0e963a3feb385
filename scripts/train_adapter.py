"""Train an adapter on labelled embeddings (rule train_adapter)."""

from pathgptomic.genomics.train import train_adapter
from pathgptomic.job import job

with job(snakemake):
    train_adapter(
        mixtures=snakemake.input.mixtures,
        embeddings=snakemake.input.embeddings,
        settings=snakemake.params.settings,
        training=snakemake.params.training,
        seed=snakemake.params.seed,
        folder=snakemake.output.folder,
        history=snakemake.output.history,
    )
