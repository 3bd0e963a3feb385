# Slides -> image features -> bags that training maps into memory.
from pathgptomic.cohort.files import table_files
from pathgptomic.cohort.gdc.checks import mirror_of
from pathgptomic.config import resolve
from pathgptomic.slides.registry import weights_file

WITH_FEATURES = [
    name
    for name, cohort in COHORTS.items()
    if {"features", "table"} & set(table_files(CONFIG, cohort))
]
# cohorts whose slides are read and encoded here
WITH_SLIDES = [
    name
    for name, cohort in COHORTS.items()
    if "slides" in cohort["modalities"]
    and (cohort["source"] == "gdc" or "images" in table_files(CONFIG, cohort))
]
SLIDES = CONFIG["slides"]
SLIDE_BATCHES = range(SLIDES["batches"])
# weights that have to be fetched; the default encoder's come with the software
ENCODER_FILE = None if SLIDES["weights"] else weights_file(SLIDES["encoder"])
FETCHED_WEIGHTS = (
    ENCODER_FILE
    and f"resources/encoders/{SLIDES['encoder'].replace(':', '-')}/{ENCODER_FILE}"
)


def image_features(wildcards):
    """Return the cohort's tables, and the folder or table of its image features."""
    cohort = COHORTS[wildcards.cohort]
    files = {
        name: f"results/{{cohort}}/cohort/{name}.tsv" for name in ("patients", "slides")
    }
    if wildcards.cohort in WITH_SLIDES:
        return files | {"features": "results/{cohort}/slides/features"}
    given = table_files(CONFIG, cohort)
    files |= {name: given[name] for name in ("features", "table") if name in given}
    if cohort["tables"]["slides"]["fold"]:
        files["splits"] = "results/{cohort}/cohort/splits.tsv"
    return files


def slide_table_settings(wildcards):
    """Return how the cohort file says that image features are written."""
    if wildcards.cohort in WITH_SLIDES:
        return {"dataset": "features"}
    return COHORTS[wildcards.cohort]["tables"]["slides"]


def slide_inputs(wildcards):
    """Return what a batch of slides is read and encoded with."""
    files = {"slides": "results/{cohort}/cohort/slides.tsv"}
    if COHORTS[wildcards.cohort]["source"] == "gdc":
        files["fetched"] = "results/{cohort}/slides/fetched{batch}.tsv"
    if SLIDES["weights"] or FETCHED_WEIGHTS:
        files["weights"] = SLIDES["weights"] or FETCHED_WEIGHTS
    if COHORTS[wildcards.cohort]["slides"]["mpp"]:
        files["mpp"] = resolve(CONFIG, COHORTS[wildcards.cohort]["slides"]["mpp"])
    return files


def slide_settings(wildcards):
    """Return the settings that the features of a slide depend on."""
    return {name: value for name, value in SLIDES.items() if name != "maximum_lost"}


def fetched_folder(wildcards):
    """Return the folder of slides that this workflow downloads, and so may delete; None for slides of your own."""
    cohort = COHORTS[wildcards.cohort]
    from_gdc = cohort["source"] == "gdc" and mirror_of(CONFIG, cohort) is None
    return CONFIG["gdc"]["folder"] if from_gdc else None


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
        gpu=int(CONFIG["device"] == "cuda"),
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
