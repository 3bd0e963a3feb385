# Cohort files -> predictions of every model and baseline, the bundles of trained models, predictions for new patients.
from pathgptomic.survival.catalogue import BASELINES

MODELS = CONFIG["survival"]["models"]
TRAINED = [name for name, model in MODELS.items() if not model["combine"]]
COMBINED = [name for name, model in MODELS.items() if model["combine"]]
PREDICT = CONFIG["survival"]["predict"]
MODALITY_FILES = {
    "expression": "results/{cohort}/cohort/expression.h5ad",
    "cnv": "results/{cohort}/cohort/cnv.parquet",
    "mutations": "results/{cohort}/cohort/mutations.parquet",
    "slides": "results/{cohort}/slides/bags.npy",
}
# on `auto` a job takes the GPU that it finds; only `cuda` asks the scheduler for one
TRAINING_GPUS = {"gpu": 1} if CONFIG["device"] == "cuda" else {}


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
    """Return what a model reads."""
    return modality_files(MODELS[wildcards.model]["modalities"])


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


rule predict:
    input:
        new_patients,


rule train_model:
    input:
        unpack(model_files),
    output:
        predictions="results/{cohort}/models/{model}/predictions.tsv",
        history="results/{cohort}/models/{model}/history.parquet",
        weights="results/{cohort}/models/{model}/bundle/model.safetensors",
        facts="results/{cohort}/models/{model}/bundle/model.json",
    log:
        "logs/{cohort}/train_model/{model}.log",
    benchmark:
        "benchmarks/{cohort}/train_model/{model}.tsv"
    wildcard_constraints:
        model="|".join(TRAINED) or "none",
    conda:
        "../envs/survival.yaml"
    container:
        IMAGES["survival"]
    threads: 1
    resources:
        **TRAINING_GPUS,
        mem_mb=mem_gb(8),
        runtime=hours(4),
    params:
        settings=model_settings,
        covariates=cohort_covariates,
        seeds=CONFIG["survival"]["seeds"],
        seed=CONFIG["seed"],
        device=CONFIG["device"],
        code=code_digest("train_model"),
    script:
        "../scripts/train_model.py"


rule fit_baseline:
    input:
        unpack(baseline_files),
    output:
        predictions="results/{cohort}/models/{model}/predictions.tsv",
    log:
        "logs/{cohort}/fit_baseline/{model}.log",
    benchmark:
        "benchmarks/{cohort}/fit_baseline/{model}.tsv"
    wildcard_constraints:
        model="|".join(CONFIG["survival"]["baselines"]) or "none",
    conda:
        "../envs/survival.yaml"
    container:
        IMAGES["survival"]
    threads: 1
    resources:
        mem_mb=mem_gb(4),
        runtime=hours(2),
    params:
        covariates=cohort_covariates,
        seed=CONFIG["seed"],
        code=code_digest("fit_baseline"),
    script:
        "../scripts/fit_baseline.py"


rule combine_models:
    input:
        members=combined_predictions,
        patients="results/{cohort}/cohort/patients.tsv",
        splits="results/{cohort}/cohort/splits.tsv",
    output:
        predictions="results/{cohort}/models/{model}/predictions.tsv",
    log:
        "logs/{cohort}/combine_models/{model}.log",
    benchmark:
        "benchmarks/{cohort}/combine_models/{model}.tsv"
    wildcard_constraints:
        model="|".join(COMBINED) or "none",
    conda:
        "../envs/survival.yaml"
    container:
        IMAGES["survival"]
    threads: 1
    resources:
        mem_mb=mem_gb(2),
        runtime=minutes(30),
    params:
        members=combined_members,
        weights=combined_weights,
        code=code_digest("combine_models"),
    script:
        "../scripts/combine_models.py"


rule predict_patients:
    input:
        weights="results/{cohort}/models/{model}/bundle/model.safetensors",
        facts="results/{cohort}/models/{model}/bundle/model.json",
        tables=new_tables,
    output:
        patients="results/{cohort}/models/{model}/new_patients.tsv",
    log:
        "logs/{cohort}/predict_patients/{model}.log",
    benchmark:
        "benchmarks/{cohort}/predict_patients/{model}.tsv"
    wildcard_constraints:
        model=PREDICT["model"] or "none",
    conda:
        "../envs/survival.yaml"
    container:
        IMAGES["survival"]
    threads: 1
    resources:
        mem_mb=mem_gb(4),
        runtime=minutes(30),
    params:
        modalities=predicting_modalities,
        months=PREDICT["months"],
        code=code_digest("predict_patients"),
    script:
        "../scripts/predict_patients.py"
