# What the rules of ../slides.smk read and are told: named functions of their wildcards.
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
    if name in GDC_SLIDES
    or ("slides" in cohort["modalities"] and "images" in table_files(CONFIG, cohort))
]
WITH_ROIS = [
    name
    for name, cohort in COHORTS.items()
    if cohort["slides"]["rois"] or name in WITH_SLIDES
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


def roi_inputs(wildcards):
    """Return what regions are cut from: pictures of your own, or every slide of the cohort."""
    cohort = COHORTS[wildcards.cohort]
    files = {
        name: f"results/{{cohort}}/cohort/{name}.tsv" for name in ("patients", "slides")
    }
    if cohort["slides"]["rois"]:
        return files | {"pictures": resolve(CONFIG, cohort["slides"]["rois"])}
    if cohort["source"] == "gdc":
        files["fetched"] = [
            f"results/{{cohort}}/slides/fetched{batch}.tsv" for batch in SLIDE_BATCHES
        ]
    if cohort["slides"]["mpp"]:
        files["mpp"] = resolve(CONFIG, cohort["slides"]["mpp"])
    return files
