# Slides -> image features -> bags that training maps into memory.
include: "inputs/slides.smk"


# runs in the environment of the cohort stage: it reads tables and HDF5, no slide
rule pack_slides:
    input:
        unpack(image_features),
    output:
        bags="results/{cohort}/slides/bags.npy",
        index="results/{cohort}/slides/bags.tsv",
        facts="results/{cohort}/slides/bags.json",
    log:
        "logs/{cohort}/pack_slides.log",
    benchmark:
        "benchmarks/{cohort}/pack_slides.tsv"
    wildcard_constraints:
        cohort="|".join(WITH_FEATURES + WITH_SLIDES) or "none",
    conda:
        "../envs/cohort.yaml"
    container:
        IMAGES["cohort"]
    threads: 1
    resources:
        mem_mb=mem_gb(8),
        runtime=minutes(60),
    params:
        settings=slide_table_settings,
        code=code_digest("pack_slides"),
    script:
        "../scripts/pack_slides.py"


rule embed_slides:
    input:
        unpack(slide_inputs),
    output:
        table="results/{cohort}/slides/batch{batch}.tsv",
    log:
        "logs/{cohort}/embed_slides/{batch}.log",
    benchmark:
        "benchmarks/{cohort}/embed_slides/{batch}.tsv"
    conda:
        "../envs/slides.yaml"
    container:
        IMAGES["slides"]
    threads: 4
    resources:
        **GPU,
        mem_mb=mem_gb(8),
        runtime=hours(12),
    params:
        settings=slide_settings,
        device=CONFIG["device"],
        folder="results/{cohort}/slides",
        fetched=fetched_folder,
        code=code_digest("embed_slides"),
    script:
        "../scripts/embed_slides.py"


rule collect_slides:
    input:
        tables=expand("results/{{cohort}}/slides/batch{batch}.tsv", batch=SLIDE_BATCHES),
    output:
        table="results/{cohort}/slides/slides.tsv",
        features=directory("results/{cohort}/slides/features"),
        sheet="results/{cohort}/slides/contact_sheet.jpg",
        facts="results/{cohort}/slides/slides.json",
    log:
        "logs/{cohort}/collect_slides.log",
    benchmark:
        "benchmarks/{cohort}/collect_slides.tsv"
    wildcard_constraints:
        cohort="|".join(WITH_SLIDES) or "none",
    conda:
        "../envs/slides.yaml"
    container:
        IMAGES["slides"]
    threads: 1
    resources:
        mem_mb=mem_gb(4),
        runtime=minutes(60),
    params:
        maximum_lost=SLIDES["maximum_lost"],
        code=code_digest("collect_slides"),
    script:
        "../scripts/collect_slides.py"


if FETCHED_WEIGHTS:

    rule fetch_encoder:
        output:
            weights=FETCHED_WEIGHTS,
        log:
            "logs/fetch_encoder.log",
        benchmark:
            "benchmarks/fetch_encoder.tsv"
        conda:
            "../envs/slides.yaml"
        container:
            IMAGES["slides"]
        threads: 1
        resources:
            mem_mb=mem_gb(2),
            runtime=hours(2),
            network=1,
        params:
            encoder=SLIDES["encoder"],
            code=code_digest("fetch_encoder"),
        script:
            "../scripts/fetch_encoder.py"
