# Slides -> image features -> bags that training maps into memory.
from pathgptomic.cohort.files import table_files

WITH_FEATURES = [
    name
    for name, cohort in COHORTS.items()
    if {"features", "table"} & set(table_files(CONFIG, cohort))
]


def image_features(wildcards):
    """Return the cohort's tables, and the folder or table of its image features."""
    cohort = COHORTS[wildcards.cohort]
    files = {
        name: f"results/{{cohort}}/cohort/{name}.tsv" for name in ("patients", "slides")
    }
    given = table_files(CONFIG, cohort)
    files |= {name: given[name] for name in ("features", "table") if name in given}
    if cohort["tables"]["slides"]["fold"]:
        files["splits"] = "results/{cohort}/cohort/splits.tsv"
    return files


def slide_table_settings(wildcards):
    """Return how the cohort file says that image features are written."""
    return COHORTS[wildcards.cohort]["tables"]["slides"]


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
        cohort="|".join(WITH_FEATURES) or "none",
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
