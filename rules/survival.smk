# Cohort files -> predictions of every model and baseline, the bundles of trained models, predictions for new patients.
include: "inputs/survival.smk"


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
    threads: model_threads
    resources:
        **GPU,
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


# for the heatmaps of the slides stage
rule weigh_instances:
    input:
        weights="results/{cohort}/models/{model}/bundle/model.safetensors",
        facts="results/{cohort}/models/{model}/bundle/model.json",
        predictions="results/{cohort}/models/{model}/predictions.tsv",
        splits="results/{cohort}/cohort/splits.tsv",
        bags="results/{cohort}/slides/bags.npy",
    output:
        attention="results/{cohort}/models/{model}/attention.parquet",
    log:
        "logs/{cohort}/weigh_instances/{model}.log",
    benchmark:
        "benchmarks/{cohort}/weigh_instances/{model}.tsv"
    wildcard_constraints:
        model="|".join(POOLED_BY_ATTENTION) or "none",
    conda:
        "../envs/survival.yaml"
    container:
        IMAGES["survival"]
    threads: 1
    resources:
        mem_mb=mem_gb(8),
        runtime=hours(1),
    params:
        code=code_digest("weigh_instances"),
    script:
        "../scripts/weigh_instances.py"
