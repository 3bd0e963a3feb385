# What the rules of ../report.smk read and are told: named functions of their wildcards.
from pathgptomic.cohort.files import table_files
from pathgptomic.report.catalogue import catalogue
from pathgptomic.report.slides_view import heatmap_caption

CATALOGUE = catalogue(CONFIG["survival"])
HEADLINE = next(iter(CATALOGUE))
EVALUATION = (
    "metrics",
    "comparisons",
    "summary",
    "risk_groups",
    "survival_curves",
    "calibration",
    "risks",
)
REPORT_KEYS = ("title", "covariates", "modalities", "missing", "splits")


def cohort_catalogue(wildcards):
    """Return what the models of a cohort are, in the order of the report."""
    return CATALOGUE


def cohort_predictions(wildcards):
    """Return the predictions of all models and baselines of a cohort, in the order of its catalogue."""
    return expand(
        "results/{{cohort}}/models/{model}/predictions.tsv",
        model=cohort_catalogue(wildcards),
    )


def trained_models(wildcards):
    """Return the models of a cohort that have a training history."""
    return [
        model
        for model, facts in cohort_catalogue(wildcards).items()
        if facts["trained"]
    ]


def cohort_histories(wildcards):
    """Return the training histories of a cohort."""
    return expand(
        "results/{{cohort}}/models/{model}/history.parquet",
        model=trained_models(wildcards),
    )


def cohort_subgroups(wildcards):
    """Return the columns within whose levels the C-index is reported."""
    return COHORTS[wildcards.cohort]["subgroups"]


def report_files(wildcards):
    """Return the files that only some cohorts have: facts of slides, bundle of the first model, planted truth."""
    files = {}
    if "slides" in COHORTS[wildcards.cohort]["modalities"]:
        files["bags"] = "results/{cohort}/slides/bags.json"
    if wildcards.cohort in WITH_SLIDES:
        files["slides"] = "results/{cohort}/slides/slides.json"
    if CATALOGUE[HEADLINE]["trained"]:
        files["bundle"] = f"results/{{cohort}}/models/{HEADLINE}/bundle/model.json"
    if wildcards.cohort in SIMULATED:
        files["truth"] = resolve(CONFIG, "resources/{cohort}/truth.json")
        files["hazards"] = resolve(CONFIG, "resources/{cohort}/true_hazards.tsv")
    return files | genomics_files()


def adapters_in_use():
    """Return the adapters that a model of the run names."""
    named = {
        modality.partition(":")[2]
        for model in CONFIG["survival"]["models"].values()
        for modality in model["modalities"]
    }
    return [name for name in CONFIG["genomics"]["adapters"] if name in named]


def genomics_files():
    """Return the tables on the embeddings and the adapters in use."""
    used = adapters_in_use()
    trained = [
        name for name in used if CONFIG["genomics"]["adapters"][name]["reference"]
    ]
    files = {"quality": "results/{cohort}/genomics/scgpt/quality.tsv"} if used else {}
    if trained:
        files["evaluations"] = expand(
            "results/adapters/{adapter}/evaluation.tsv", adapter=trained
        )
        files["domains"] = expand(
            "results/{{cohort}}/genomics/domain/{adapter}.tsv", adapter=trained
        )
    return files


def report_data(wildcards):
    """Return the files whose hashes the report prints: the cohort's own tables and what was made of them."""
    given = table_files(CONFIG, COHORTS[wildcards.cohort])
    folders = ("features", "images")
    own = [given[name] for name in given if name not in folders]
    made = ("patients.tsv", "splits.tsv", "expression.h5ad", "cnv.parquet")
    return own + [
        f"results/{{cohort}}/cohort/{name}" for name in (*made, "mutations.parquet")
    ]


def heatmap_model(wildcards):
    """Return the first model of the report that weighs the tiles of slides read here, or nothing."""
    weighing = [
        model
        for model in cohort_catalogue(wildcards)
        if model in POOLED_BY_ATTENTION and "slides" in MODELS[model]["modalities"]
    ]
    return weighing[0] if weighing and wildcards.cohort in WITH_SLIDES else ""


def slide_pictures(wildcards):
    """Return the pictures of slides that were read here: what was read of each, and where a model looked."""
    if wildcards.cohort not in WITH_SLIDES:
        return []
    folder = f"results/{wildcards.cohort}/slides"
    sheet = {
        "path": f"{folder}/contact_sheet.jpg",
        "title": "Contact sheet of the slides",
        "caption": "Slides of the cohort, lost ones first: tissue is outlined in black, every tile is framed in the "
        "colour of what became of it, and the number below is that of the tiles read.",
    }
    model = heatmap_model(wildcards)
    if not model:
        return [sheet]
    heatmaps = {
        "path": f"{folder}/heatmaps/{model}.jpg",
        "title": "Attention of a model on the slides",
        "caption": heatmap_caption(
            CATALOGUE[model]["title"], COHORTS[wildcards.cohort]["simulate"]
        )
        + f" One picture a patient lies in {folder}/heatmaps/{model}/.",
    }
    return [sheet, heatmaps]


def report_pictures(wildcards):
    """Return the pictures of other stages: bulk beside the mixtures of adapters in use."""
    pictures = []
    for reference in references_in_use():
        figure = f"results/{wildcards.cohort}/genomics/mixtures/{reference}.svg"
        caption = (
            "Bulk profiles beside the single cells and mixtures of the reference. A mixture stands in for bulk only if "
            "it expresses about as many genes, leaves about as few of them tied, and ranks them alike."
        )
        pictures.append(
            {"path": figure, "title": "Bulk beside mixtures", "caption": caption}
        )
    return pictures


def references_in_use():
    """Return the single-cell references behind the adapters that a model of the run names."""
    adapters = CONFIG["genomics"]["adapters"]
    references = {adapters[name]["reference"] for name in adapters_in_use()}
    return sorted(references - {""})


def picture_files(wildcards):
    """Return the files of the pictures of earlier stages."""
    pictures = slide_pictures(wildcards) + report_pictures(wildcards)
    return [picture["path"] for picture in pictures]


def report_cohort(wildcards):
    """Return what the report says of the cohort file."""
    return {key: COHORTS[wildcards.cohort][key] for key in REPORT_KEYS}


def headline_settings(wildcards):
    """Return the settings of the model that the report is about, empty for a baseline."""
    return CONFIG["survival"]["models"].get(HEADLINE, {})


def run_facts(wildcards):
    """Return what the run facts print beside versions."""
    return {
        "Cohort": wildcards.cohort,
        "Seed": CONFIG["seed"],
        "Training runs a fold": CONFIG["survival"]["seeds"],
        "Models": len(cohort_catalogue(wildcards)),
        "Settings compared by inner validation": CONFIG["survival"][
            "settings_compared"
        ],
        "Device": CONFIG["device"],
        "Resamples of patients": CONFIG["report"]["bootstrap"],
    }
