# What the rules of ../survival.smk read and are told: named functions of their wildcards.
from pathgptomic.survival.catalogue import BASELINES

MODELS = CONFIG["survival"]["models"]
TRAINED = [name for name, model in MODELS.items() if not model["combine"]]
COMBINED = [name for name, model in MODELS.items() if model["combine"]]
POOLED_BY_ATTENTION = [
    name for name in TRAINED if MODELS[name]["pooling"] == "attention"
]
PREDICT = CONFIG["survival"]["predict"]
MODALITY_FILES = {
    "expression": "results/{cohort}/cohort/expression.h5ad",
    "cnv": "results/{cohort}/cohort/cnv.parquet",
    "mutations": "results/{cohort}/cohort/mutations.parquet",
    "slides": "results/{cohort}/slides/bags.npy",
    "rois": "results/{cohort}/slides/rois.npy",
}


def modality_files(modalities):
    """Return patients, folds and the file of each modality; an adapter's embedding is the modality genomics:NAME."""
    files = {
        name: f"results/{{cohort}}/cohort/{name}.tsv" for name in ("patients", "splits")
    }
    for modality in modalities:
        if modality.startswith("genomics:"):
            adapter = modality.partition(":")[2]
            files[modality] = f"results/{{cohort}}/genomics/{adapter}.parquet"
        elif modality != "clinical":
            files[modality] = MODALITY_FILES[modality]
    return files


def model_files(wildcards):
    """Return what a model reads, the weights that its image network starts from among it."""
    model = MODELS[wildcards.model]
    files = modality_files(model["modalities"])
    if "rois" in model["modalities"] and model["rois"]["weights"]:
        files["image_weights"] = model["rois"]["weights"]
    return files


def baseline_files(wildcards):
    """Return what a baseline reads of the modalities that the cohort has."""
    has = COHORTS[wildcards.cohort]["modalities"]
    return modality_files([name for name in BASELINES[wildcards.model] if name in has])


def combined_members(wildcards):
    """Return the models that a combination averages."""
    return MODELS[wildcards.model]["combine"]


def combined_predictions(wildcards):
    """Return the predictions that a combination averages."""
    return expand(
        "results/{{cohort}}/models/{member}/predictions.tsv",
        member=combined_members(wildcards),
    )


def combined_weights(wildcards):
    """Return how a combination is weighted."""
    return MODELS[wildcards.model]["weights"]


def model_settings(wildcards):
    """Return the settings of a trained model."""
    return MODELS[wildcards.model]


def model_threads(wildcards):
    """Return four threads for an image network, whose convolutions use them, and one for small networks."""
    return 4 if "rois" in MODELS[wildcards.model]["modalities"] else 1


def cohort_covariates(wildcards):
    """Return the covariates of a cohort and their kinds."""
    return COHORTS[wildcards.cohort]["covariates"]


def new_patients(wildcards):
    """Return the predictions for new patients that the configuration asks for."""
    if not PREDICT["model"]:
        raise WorkflowError(
            "nothing to predict: name survival.predict.cohort, .model and .tables"
        )
    return f"results/{PREDICT['cohort']}/models/{PREDICT['model']}/new_patients.tsv"


def new_tables(wildcards):
    """Return the tables of the new patients, in the order of the model's modalities."""
    return [PREDICT["tables"][name] for name in predicting_modalities(wildcards)]


def predicting_modalities(wildcards):
    """Return the modalities that the predicting model reads."""
    return MODELS[wildcards.model]["modalities"]
