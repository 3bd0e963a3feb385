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
        localrule: FETCH_LOCALLY
        conda:
            "../envs/slides.yaml"
        container:
            IMAGES["slides"]
        threads: 1
        resources:
            **NETWORK,
            mem_mb=mem_gb(2),
            runtime=hours(2),
        params:
            encoder=SLIDES["encoder"],
            code=code_digest("fetch_encoder"),
        script:
            "../scripts/fetch_encoder.py"


# the survival stage writes the attention of bag models; ask for a model's heatmaps by name
rule draw_heatmaps:
    input:
        attention="results/{cohort}/models/{model}/attention.parquet",
        bags="results/{cohort}/slides/bags.tsv",
        slides="results/{cohort}/slides/slides.tsv",
        features="results/{cohort}/slides/features",
    output:
        folder=directory("results/{cohort}/slides/heatmaps/{model}"),
        sheet="results/{cohort}/slides/heatmaps/{model}.jpg",
    log:
        "logs/{cohort}/draw_heatmaps/{model}.log",
    benchmark:
        "benchmarks/{cohort}/draw_heatmaps/{model}.tsv"
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
        thumbnails="results/{cohort}/slides/thumbnails",
        code=code_digest("draw_heatmaps"),
    script:
        "../scripts/draw_heatmaps.py"


# regions that an image network is trained on; nothing asks for them unless a model does
rule crop_rois:
    input:
        unpack(roi_inputs),
    output:
        pictures="results/{cohort}/slides/rois.npy",
        table="results/{cohort}/slides/rois.tsv",
    log:
        "logs/{cohort}/crop_rois.log",
    benchmark:
        "benchmarks/{cohort}/crop_rois.tsv"
    wildcard_constraints:
        cohort="|".join(WITH_ROIS) or "none",
    conda:
        "../envs/slides.yaml"
    container:
        IMAGES["slides"]
    threads: 2
    resources:
        mem_mb=mem_gb(8),
        runtime=hours(6),
    params:
        settings=slide_settings,
        seed=CONFIG["seed"],
        folder="results/{cohort}/slides/rois",
        code=code_digest("crop_rois"),
    script:
        "../scripts/crop_rois.py"
