"""Make the folds of a cohort and their inner validation parts (rule make_splits)."""

from pathgptomic.cohort.folds import make_splits
from pathgptomic.job import job

with job(snakemake):
    make_splits(
        patients=snakemake.input.patients,
        published=list(snakemake.input.published),
        settings=snakemake.params.settings,
        seed=snakemake.params.seed,
        splits_out=snakemake.output.splits,
        folds_out=snakemake.output.folds,
        audit_out=snakemake.output.audit,
    )
