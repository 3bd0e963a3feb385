"""Say how much each instance of the slides counted in a bag model (rule weigh_instances)."""

from pathgptomic.job import job
from pathgptomic.survival.attention import weigh_instances

with job(snakemake):
    weigh_instances(
        weights=snakemake.input.weights,
        facts=snakemake.input.facts,
        predictions=snakemake.input.predictions,
        splits=snakemake.input.splits,
        bags=snakemake.input.bags,
        out=snakemake.output.attention,
    )
