# Cohorts from the Genomic Data Commons, and cohorts that are made up with a known truth.
include: "inputs/gdc.smk"


rule simulate_cohort:
    output:
        clinical=resolve(CONFIG, "resources/{cohort}/clinical.tsv"),
        expression=resolve(CONFIG, "resources/{cohort}/expression.parquet"),
        cnv=resolve(CONFIG, "resources/{cohort}/cnv.parquet"),
        mutations=resolve(CONFIG, "resources/{cohort}/mutations.parquet"),
        features=directory(resolve(CONFIG, "resources/{cohort}/features")),
        truth=resolve(CONFIG, "resources/{cohort}/truth.json"),
        hazards=resolve(CONFIG, "resources/{cohort}/true_hazards.tsv"),
    log:
        "logs/{cohort}/simulate_cohort.log",
    benchmark:
        "benchmarks/{cohort}/simulate_cohort.tsv"
    wildcard_constraints:
        cohort="|".join(MADE_UP_TABLES) or "none",
    conda:
        "../envs/cohort.yaml"
    container:
        IMAGES["cohort"]
    threads: 1
    resources:
        mem_mb=mem_gb(4),
        runtime=minutes(30),
    params:
        settings=simulation_settings,
        seed=CONFIG["seed"],
        code=code_digest("simulate_cohort", "cohort/simulate/genes.tsv"),
    script:
        "../scripts/simulate_cohort.py"


# runs in the environment of the slides stage: it draws slides
rule simulate_mirror:
    output:
        mirror=directory(resolve(CONFIG, "resources/{cohort}/mirror")),
        truth=resolve(CONFIG, "resources/{cohort}/truth.json"),
        hazards=resolve(CONFIG, "resources/{cohort}/true_hazards.tsv"),
    log:
        "logs/{cohort}/simulate_mirror.log",
    benchmark:
        "benchmarks/{cohort}/simulate_mirror.tsv"
    wildcard_constraints:
        cohort="|".join(MADE_UP_MIRRORS) or "none",
    conda:
        "../envs/slides.yaml"
    container:
        IMAGES["slides"]
    threads: 2
    resources:
        mem_mb=mem_gb(4),
        runtime=hours(1),
    params:
        settings=simulation_settings,
        seed=CONFIG["seed"],
        code=code_digest("simulate_mirror", "cohort/simulate/genes.tsv"),
    script:
        "../scripts/simulate_mirror.py"


# runs in the environment of the singlecell stage: it writes TileDB-SOMA
rule simulate_census:
    input:
        cells=resolve(CONFIG, "resources/{cohort}/cells.h5ad"),
    output:
        census=directory(resolve(CONFIG, "resources/{cohort}/census")),
    log:
        "logs/{cohort}/simulate_census.log",
    benchmark:
        "benchmarks/{cohort}/simulate_census.tsv"
    wildcard_constraints:
        cohort="|".join(SIMULATED) or "none",
    conda:
        "../envs/singlecell.yaml"
    container:
        IMAGES["singlecell"]
    threads: 1
    resources:
        mem_mb=mem_gb(4),
        runtime=minutes(30),
    params:
        code=code_digest("simulate_census"),
    script:
        "../scripts/simulate_census.py"


rule lock_cohort:
    input:
        unpack(lock_inputs),
    output:
        manifest="results/{cohort}/cohort/manifest.tsv",
        drift="results/{cohort}/cohort/drift.tsv",
        answers=directory("results/{cohort}/cohort/answers"),
    log:
        "logs/{cohort}/lock_cohort.log",
    benchmark:
        "benchmarks/{cohort}/lock_cohort.tsv"
    wildcard_constraints:
        cohort="|".join(FROM_GDC) or "none",
    localrule: FETCH_LOCALLY
    conda:
        "../envs/cohort.yaml"
    container:
        IMAGES["cohort"]
    threads: 1
    resources:
        **NETWORK,
        mem_mb=mem_gb(2),
        runtime=minutes(30),
    params:
        gdc=gdc_settings,
        modalities=gdc_modalities,
        access=gdc_access,
        mirror=gdc_mirror,
        code=code_digest("lock_cohort"),
    script:
        "../scripts/lock_cohort.py"


rule fetch_files:
    input:
        manifest="results/{cohort}/cohort/manifest.tsv",
    output:
        fetched="results/{cohort}/cohort/fetched.tsv",
    log:
        "logs/{cohort}/fetch_files.log",
    benchmark:
        "benchmarks/{cohort}/fetch_files.tsv"
    localrule: FETCH_LOCALLY
    conda:
        "../envs/cohort.yaml"
    container:
        IMAGES["cohort"]
    threads: 1
    resources:
        **NETWORK,
        mem_mb=mem_gb(2),
        runtime=hours(12),
    params:
        modalities=molecular_modalities,
        access=gdc_access,
        mirror=gdc_mirror,
        folder=CONFIG["gdc"]["folder"],
        code=code_digest("fetch_files"),
    script:
        "../scripts/fetch_files.py"


rule fetch_slides:
    input:
        unpack(room_for_slides),
        manifest="results/{cohort}/cohort/manifest.tsv",
        slides="results/{cohort}/cohort/slides.tsv",
    output:
        fetched="results/{cohort}/slides/fetched{batch}.tsv",
    log:
        "logs/{cohort}/fetch_slides/{batch}.log",
    benchmark:
        "benchmarks/{cohort}/fetch_slides/{batch}.tsv"
    wildcard_constraints:
        cohort="|".join(FROM_GDC) or "none",
    localrule: FETCH_LOCALLY
    conda:
        "../envs/cohort.yaml"
    container:
        IMAGES["cohort"]
    threads: 1
    resources:
        **NETWORK,
        mem_mb=mem_gb(2),
        runtime=hours(24),
    params:
        batches=CONFIG["slides"]["batches"],
        access=gdc_access,
        mirror=gdc_mirror,
        folder=CONFIG["gdc"]["folder"],
        code=code_digest("fetch_slides"),
    script:
        "../scripts/fetch_slides.py"


rule build_gdc_cohort:
    input:
        unpack(build_tables),
        manifest="results/{cohort}/cohort/manifest.tsv",
        answers="results/{cohort}/cohort/answers",
        fetched="results/{cohort}/cohort/fetched.tsv",
    output:
        patients="results/{cohort}/cohort/patients.tsv",
        expression="results/{cohort}/cohort/expression.h5ad",
        cnv="results/{cohort}/cohort/cnv.parquet",
        mutations="results/{cohort}/cohort/mutations.parquet",
        slides="results/{cohort}/cohort/slides.tsv",
        flow="results/{cohort}/cohort/flow.tsv",
        audit="results/{cohort}/cohort/audit.json",
        replicates="results/{cohort}/cohort/replicates.tsv",
    log:
        "logs/{cohort}/build_gdc_cohort.log",
    benchmark:
        "benchmarks/{cohort}/build_gdc_cohort.tsv"
    wildcard_constraints:
        cohort="|".join(FROM_GDC) or "none",
    conda:
        "../envs/cohort.yaml"
    container:
        IMAGES["cohort"]
    threads: 1
    resources:
        mem_mb=mem_gb(8),
        runtime=hours(2),
    params:
        settings=gdc_build_settings,
        folder=gdc_folder,
        code=code_digest("build_gdc_cohort"),
    script:
        "../scripts/build_gdc_cohort.py"


rule plan_run:
    input:
        manifests=expand("results/{cohort}/cohort/manifest.tsv", cohort=FROM_GDC),
    output:
        plan="results/plan.txt",
    log:
        "logs/plan_run.log",
    benchmark:
        "benchmarks/plan_run.tsv"
    conda:
        "../envs/cohort.yaml"
    container:
        IMAGES["cohort"]
    threads: 1
    resources:
        mem_mb=mem_gb(2),
        runtime=minutes(10),
    params:
        cohorts=FROM_GDC,
        encoded=GDC_SLIDES,
        encoder=encoder_facts,
        batches=CONFIG["slides"]["batches"],
        ahead=None if CONFIG["slides"]["keep_slides"] else CONFIG["gdc"]["slides_ahead"],
        device=CONFIG["device"],
        scgpt=scgpt_work,
        others=other_terms,
        code=code_digest("plan_run"),
    script:
        "../scripts/plan_run.py"


# what the run will fetch, take and need
rule plan:
    input:
        "results/plan.txt",


# what the GDC has today, and how it differs from the committed locks
rule lock:
    input:
        expand("results/{cohort}/cohort/manifest.tsv", cohort=FROM_GDC),


# everything that comes over the network from the GDC, for nodes that have none
rule fetch:
    input:
        expand("results/{cohort}/cohort/fetched.tsv", cohort=FROM_GDC),
        expand(
            "results/{cohort}/slides/fetched{batch}.tsv",
            cohort=GDC_SLIDES,
            batch=range(CONFIG["slides"]["batches"]),
        ),
