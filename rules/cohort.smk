# Local tables -> one checked cohort at patient level -> its folds.
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


rule build_cohort:
    input:
        unpack(cohort_tables),
    output:
        patients="results/{cohort}/cohort/patients.tsv",
        expression="results/{cohort}/cohort/expression.h5ad",
        cnv="results/{cohort}/cohort/cnv.parquet",
        mutations="results/{cohort}/cohort/mutations.parquet",
        slides="results/{cohort}/cohort/slides.tsv",
        flow="results/{cohort}/cohort/flow.tsv",
        audit="results/{cohort}/cohort/audit.json",
    log:
        "logs/{cohort}/build_cohort.log",
    benchmark:
        "benchmarks/{cohort}/build_cohort.tsv"
    wildcard_constraints:
        cohort="|".join(WITH_TABLES) or "none",
    conda:
        "../envs/cohort.yaml"
    container:
        IMAGES["cohort"]
    threads: 1
    resources:
        mem_mb=mem_gb(4),
        runtime=minutes(60),
    params:
        settings=cohort_settings,
        code=code_digest("build_cohort"),
    script:
        "../scripts/build_cohort.py"


rule make_splits:
    input:
        patients="results/{cohort}/cohort/patients.tsv",
        published=published_splits,
    output:
        splits="results/{cohort}/cohort/splits.tsv",
        folds="results/{cohort}/cohort/folds.tsv",
        audit="results/{cohort}/cohort/splits_audit.json",
    log:
        "logs/{cohort}/make_splits.log",
    benchmark:
        "benchmarks/{cohort}/make_splits.tsv"
    conda:
        "../envs/cohort.yaml"
    container:
        IMAGES["cohort"]
    threads: 1
    resources:
        mem_mb=mem_gb(2),
        runtime=minutes(30),
    params:
        settings=cohort_settings,
        seed=CONFIG["seed"],
        code=code_digest("make_splits"),
    script:
        "../scripts/make_splits.py"
