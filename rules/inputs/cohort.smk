# What the rules of ../cohort.smk read and are told: named functions of their wildcards.
from pathgptomic.cohort.files import published_files, table_files

WITH_TABLES = [name for name, cohort in COHORTS.items() if cohort["source"] == "tables"]
COHORT_KEYS = (
    "tables",
    "covariates",
    "site",
    "stratum",
    "modalities",
    "missing",
    "splits",
    "audit",
)


def cohort_tables(wildcards):
    """Return the files of the cohort's own tables by name."""
    return table_files(CONFIG, COHORTS[wildcards.cohort])


def published_splits(wildcards):
    """Return the files of published splits, none where the scheme is another."""
    return published_files(CONFIG, COHORTS[wildcards.cohort])


def cohort_settings(wildcards):
    """Return what the cohort stage owns of the cohort file."""
    return {key: COHORTS[wildcards.cohort][key] for key in COHORT_KEYS}
