# What a facility does around a run.
include: "inputs/operations.smk"


rule fetch_wheels:
    output:
        wheels=directory(f"{OFFLINE}/wheels"),
    log:
        "logs/fetch_wheels.log",
    benchmark:
        "benchmarks/fetch_wheels.tsv"
    localrule: FETCH_LOCALLY
    conda:
        "../envs/cohort.yaml"
    container:
        IMAGES["cohort"]
    threads: 1
    resources:
        **NETWORK,
        mem_mb=mem_gb(2),
        runtime=hours(2),
    params:
        pins=environment_pins,
        code=code_digest("fetch_wheels"),
    script:
        "../scripts/fetch_wheels.py"


# asked for by name: everything that a host without internet needs, in one folder
rule stage_offline:
    input:
        unpack(offline_inputs),
    output:
        checksums=f"{OFFLINE}/SHA256SUMS",
        configuration=f"{OFFLINE}/config.yaml",
        guide=f"{OFFLINE}/README.md",
    log:
        "logs/stage_offline.log",
    benchmark:
        "benchmarks/stage_offline.tsv"
    conda:
        "../envs/cohort.yaml"
    container:
        IMAGES["cohort"]
    threads: 4
    resources:
        mem_mb=mem_gb(2),
        runtime=hours(12),
    params:
        places=offline_places,
        configuration=offline_configuration,
        environments=OFFLINE_ENVIRONMENTS,
        code=code_digest("stage_offline"),
    script:
        "../scripts/stage_offline.py"


rule record_run:
    input:
        run_files,
    output:
        run="results/{cohort}/report/run.json",
    log:
        "logs/{cohort}/record_run.log",
    benchmark:
        "benchmarks/{cohort}/record_run.tsv"
    conda:
        "../envs/report.yaml"
    container:
        IMAGES["report"]
    threads: 2
    resources:
        mem_mb=mem_gb(2),
        runtime=hours(1),
    params:
        code=code_digest("record_run"),
    script:
        "../scripts/record_run.py"


# asked for by name: hours, memory and disk of the jobs that have run in this folder
rule cost:
    input:
        "results/cost.tsv",


rule sum_costs:
    output:
        table="results/cost.tsv",
    log:
        "logs/sum_costs.log",
    benchmark:
        "benchmarks/sum_costs.tsv"
    conda:
        "../envs/cohort.yaml"
    container:
        IMAGES["cohort"]
    threads: 1
    resources:
        mem_mb=mem_gb(2),
        runtime=minutes(30),
    params:
        stages=rule_stages,
        state=records_seen,
        code=code_digest("sum_costs"),
    script:
        "../scripts/sum_costs.py"


# asked for by name: the runs as RO-Crates
rule ro_crate:
    input:
        expand("results/{cohort}/ro-crate-metadata.json", cohort=COHORTS),


rule write_crate:
    input:
        report="results/{cohort}/report/report.html",
        run="results/{cohort}/report/run.json",
    output:
        crate="results/{cohort}/ro-crate-metadata.json",
    log:
        "logs/{cohort}/write_crate.log",
    benchmark:
        "benchmarks/{cohort}/write_crate.tsv"
    conda:
        "../envs/report.yaml"
    container:
        IMAGES["report"]
    threads: 1
    resources:
        mem_mb=mem_gb(2),
        runtime=minutes(30),
    params:
        title=cohort_title,
        code=code_digest("write_crate"),
    script:
        "../scripts/write_crate.py"
