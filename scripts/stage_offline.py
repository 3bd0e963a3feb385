"""Put everything that a run needs into one folder (rule stage_offline)."""

from pathgptomic.job import job
from pathgptomic.operations.stage import stage_offline

with job(snakemake):
    stage_offline(
        **snakemake.params.places,
        configuration=snakemake.params.configuration,
        environments=snakemake.params.environments,
        threads=snakemake.threads,
        checksums_out=snakemake.output.checksums,
        configuration_out=snakemake.output.configuration,
        guide_out=snakemake.output.guide,
    )
