"""Say what a run will fetch, take and need, before anything is spent (rule plan_run)."""

from pathgptomic.cohort.gdc.plan import plan_run
from pathgptomic.job import job

with job(snakemake):
    plan_run(
        manifests=dict(zip(snakemake.params.cohorts, snakemake.input.manifests, strict=True)),
        encoded=snakemake.params.encoded,
        encoder=snakemake.params.encoder,
        batches=snakemake.params.batches,
        ahead=snakemake.params.ahead,
        device=snakemake.params.device,
        scgpt=snakemake.params.scgpt,
        others=snakemake.params.others,
        plan_out=snakemake.output.plan,
    )
