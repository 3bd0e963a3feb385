# Local tables -> one checked cohort at patient level -> its folds.
include: "inputs/cohort.smk"


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
