# Predictions of all models -> evaluation -> figures -> one page a cohort.
from pathgptomic.cohort.files import table_files
from pathgptomic.report.catalogue import catalogue

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
    """Return the files that only some cohorts have: facts of the image inputs, bundle of the first model."""
    files = {}
    if "slides" in COHORTS[wildcards.cohort]["modalities"]:
        files["bags"] = "results/{cohort}/slides/bags.json"
    if CATALOGUE[HEADLINE]["trained"]:
        files["bundle"] = f"results/{{cohort}}/models/{HEADLINE}/bundle/model.json"
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


def report_pictures(wildcards):
    """Return the pictures of earlier stages: slides that were read here, bulk beside the mixtures of adapters in use."""
    pictures = []
    if wildcards.cohort in WITH_SLIDES:
        sheet = f"results/{wildcards.cohort}/slides/contact_sheet.jpg"
        caption = (
            "Slides of the cohort: what was read of each, and why the rest was not."
        )
        pictures.append(
            {"path": sheet, "title": "Contact sheet of the slides", "caption": caption}
        )
    for reference in references_in_use():
        figure = f"results/{wildcards.cohort}/genomics/mixtures/{reference}.svg"
        caption = "Bulk profiles beside the mixtures of single cells that the adapter was trained on."
        pictures.append(
            {"path": figure, "title": "Bulk beside mixtures", "caption": caption}
        )
    return pictures


def references_in_use():
    """Return the single-cell references behind the adapters that a model of the run names."""
    adapters = CONFIG["genomics"]["adapters"]
    named = {
        modality.partition(":")[2]
        for model in CONFIG["survival"]["models"].values()
        for modality in model["modalities"]
    }
    return sorted(
        {
            adapter["reference"]
            for name, adapter in adapters.items()
            if name in named and adapter["reference"]
        }
    )


def picture_files(wildcards):
    """Return the files of the pictures of earlier stages."""
    return [picture["path"] for picture in report_pictures(wildcards)]


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
        "Device": CONFIG["device"],
        "Resamples of patients": CONFIG["report"]["bootstrap"],
    }


rule evaluate_models:
    input:
        predictions=cohort_predictions,
        patients="results/{cohort}/cohort/patients.tsv",
        splits="results/{cohort}/cohort/splits.tsv",
    output:
        metrics="results/{cohort}/evaluation/metrics.tsv",
        comparisons=report(
            "results/{cohort}/evaluation/comparisons.tsv",
            caption="report/comparisons.rst",
            category="Discrimination",
            subcategory="{cohort}",
            labels={"table": "All comparisons"},
        ),
        summary=report(
            "results/{cohort}/evaluation/summary.tsv",
            caption="report/summary.rst",
            category="Discrimination",
            subcategory="{cohort}",
            labels={"table": "Summary of all models"},
        ),
        risk_groups="results/{cohort}/evaluation/risk_groups.tsv",
        survival_curves="results/{cohort}/evaluation/survival_curves.tsv",
        calibration="results/{cohort}/evaluation/calibration.tsv",
        risks="results/{cohort}/evaluation/risks.tsv",
        methods="results/{cohort}/evaluation/methods.json",
    log:
        "logs/{cohort}/evaluate_models.log",
    benchmark:
        "benchmarks/{cohort}/evaluate_models.tsv"
    conda:
        "../envs/report.yaml"
    container:
        IMAGES["report"]
    threads: 1
    resources:
        mem_mb=mem_gb(4),
        runtime=minutes(30),
    params:
        models=cohort_catalogue,
        settings=CONFIG["report"],
        subgroups=cohort_subgroups,
        seed=CONFIG["seed"],
        code=code_digest("evaluate_models"),
    script:
        "../scripts/evaluate_models.py"


rule summarise_balance:
    input:
        histories=cohort_histories,
    output:
        balance="results/{cohort}/evaluation/balance.tsv",
    log:
        "logs/{cohort}/summarise_balance.log",
    benchmark:
        "benchmarks/{cohort}/summarise_balance.tsv"
    conda:
        "../envs/report.yaml"
    container:
        IMAGES["report"]
    threads: 1
    resources:
        mem_mb=mem_gb(4),
        runtime=minutes(10),
    params:
        models=trained_models,
        code=code_digest("summarise_balance"),
    script:
        "../scripts/summarise_balance.py"


rule plot_forest:
    input:
        summary="results/{cohort}/evaluation/summary.tsv",
        metrics="results/{cohort}/evaluation/metrics.tsv",
    output:
        figure=report(
            "results/{cohort}/report/figures/forest.svg",
            caption="report/forest.rst",
            category="Discrimination",
            subcategory="{cohort}",
            labels={"figure": "C-index of all models"},
        ),
        narrow="results/{cohort}/report/figures/forest_narrow.svg",
    log:
        "logs/{cohort}/plot_forest.log",
    benchmark:
        "benchmarks/{cohort}/plot_forest.tsv"
    conda:
        "../envs/report.yaml"
    container:
        IMAGES["report"]
    threads: 1
    resources:
        mem_mb=mem_gb(2),
        runtime=minutes(10),
    params:
        headline=HEADLINE,
        clinical=CONFIG["report"]["references"].get("clinical", ""),
        code=code_digest("plot_forest"),
    script:
        "../scripts/plot_forest.py"


rule plot_gap:
    input:
        metrics="results/{cohort}/evaluation/metrics.tsv",
    output:
        figure=report(
            "results/{cohort}/report/figures/gap.svg",
            caption="report/gap.rst",
            category="Balance",
            subcategory="{cohort}",
            labels={
                "figure": "Seen and unseen patients",
                "model": "balanced and unbalanced",
            },
        ),
    log:
        "logs/{cohort}/plot_gap.log",
    benchmark:
        "benchmarks/{cohort}/plot_gap.tsv"
    conda:
        "../envs/report.yaml"
    container:
        IMAGES["report"]
    threads: 1
    resources:
        mem_mb=mem_gb(2),
        runtime=minutes(10),
    params:
        models=cohort_catalogue,
        code=code_digest("plot_gap"),
    script:
        "../scripts/plot_gap.py"


rule plot_balance:
    input:
        balance="results/{cohort}/evaluation/balance.tsv",
        summary="results/{cohort}/evaluation/summary.tsv",
    output:
        figures=report(
            directory("results/{cohort}/report/figures/balance"),
            patterns=["{model}.svg"],
            caption="report/balance.rst",
            category="Balance",
            subcategory="{cohort}",
            labels={"figure": "Training by epoch", "model": "{model}"},
        ),
    log:
        "logs/{cohort}/plot_balance.log",
    benchmark:
        "benchmarks/{cohort}/plot_balance.tsv"
    conda:
        "../envs/report.yaml"
    container:
        IMAGES["report"]
    threads: 1
    resources:
        mem_mb=mem_gb(2),
        runtime=minutes(10),
    params:
        code=code_digest("plot_balance"),
    script:
        "../scripts/plot_balance.py"


rule plot_survival_curves:
    input:
        curves="results/{cohort}/evaluation/survival_curves.tsv",
        groups="results/{cohort}/evaluation/risk_groups.tsv",
        summary="results/{cohort}/evaluation/summary.tsv",
    output:
        figures=report(
            directory("results/{cohort}/report/figures/survival_curves"),
            patterns=["{model}.svg"],
            caption="report/survival_curves.rst",
            category="Risk groups",
            subcategory="{cohort}",
            labels={"figure": "Kaplan-Meier curves", "model": "{model}"},
        ),
    log:
        "logs/{cohort}/plot_survival_curves.log",
    benchmark:
        "benchmarks/{cohort}/plot_survival_curves.tsv"
    conda:
        "../envs/report.yaml"
    container:
        IMAGES["report"]
    threads: 1
    resources:
        mem_mb=mem_gb(2),
        runtime=minutes(10),
    params:
        code=code_digest("plot_survival_curves"),
    script:
        "../scripts/plot_survival_curves.py"


rule plot_calibration:
    input:
        calibration="results/{cohort}/evaluation/calibration.tsv",
        summary="results/{cohort}/evaluation/summary.tsv",
    output:
        figures=report(
            directory("results/{cohort}/report/figures/calibration"),
            patterns=["{model}.svg"],
            caption="report/calibration.rst",
            category="Calibration",
            subcategory="{cohort}",
            labels={"figure": "Predicted and actual survival", "model": "{model}"},
        ),
    log:
        "logs/{cohort}/plot_calibration.log",
    benchmark:
        "benchmarks/{cohort}/plot_calibration.tsv"
    conda:
        "../envs/report.yaml"
    container:
        IMAGES["report"]
    threads: 1
    resources:
        mem_mb=mem_gb(2),
        runtime=minutes(10),
    params:
        code=code_digest("plot_calibration"),
    script:
        "../scripts/plot_calibration.py"


rule plot_flow:
    input:
        flow="results/{cohort}/cohort/flow.tsv",
        splits="results/{cohort}/cohort/splits.tsv",
    output:
        figure=report(
            "results/{cohort}/report/figures/flow.svg",
            caption="report/flow.rst",
            category="Cohort",
            subcategory="{cohort}",
            labels={"figure": "Patient flow"},
        ),
    log:
        "logs/{cohort}/plot_flow.log",
    benchmark:
        "benchmarks/{cohort}/plot_flow.tsv"
    conda:
        "../envs/report.yaml"
    container:
        IMAGES["report"]
    threads: 1
    resources:
        mem_mb=mem_gb(2),
        runtime=minutes(10),
    params:
        code=code_digest("plot_flow"),
    script:
        "../scripts/plot_flow.py"


rule write_report:
    input:
        unpack(report_files),
        patients="results/{cohort}/cohort/patients.tsv",
        splits="results/{cohort}/cohort/splits.tsv",
        flow="results/{cohort}/cohort/flow.tsv",
        audit="results/{cohort}/cohort/audit.json",
        splits_audit="results/{cohort}/cohort/splits_audit.json",
        summary="results/{cohort}/evaluation/summary.tsv",
        metrics="results/{cohort}/evaluation/metrics.tsv",
        comparisons="results/{cohort}/evaluation/comparisons.tsv",
        risk_groups="results/{cohort}/evaluation/risk_groups.tsv",
        methods="results/{cohort}/evaluation/methods.json",
        balance="results/{cohort}/evaluation/balance.tsv",
        forest="results/{cohort}/report/figures/forest.svg",
        gap="results/{cohort}/report/figures/gap.svg",
        balance_curves="results/{cohort}/report/figures/balance",
        survival_curves="results/{cohort}/report/figures/survival_curves",
        calibration="results/{cohort}/report/figures/calibration",
        patient_flow="results/{cohort}/report/figures/flow.svg",
        data=report_data,
        pictures=picture_files,
    output:
        report=report(
            "results/{cohort}/report/report.html",
            caption="report/page.rst",
            category="Report",
            subcategory="{cohort}",
            labels={"page": "Survival report"},
        ),
        text="results/{cohort}/report/summary.txt",
    log:
        "logs/{cohort}/write_report.log",
    benchmark:
        "benchmarks/{cohort}/write_report.tsv"
    conda:
        "../envs/report.yaml"
    container:
        IMAGES["report"]
    threads: 1
    resources:
        mem_mb=mem_gb(2),
        runtime=minutes(10),
    params:
        models=cohort_catalogue,
        cohort=report_cohort,
        model=headline_settings,
        facts=run_facts,
        benchmarks="benchmarks/{cohort}",
        inserts=report_pictures,
        code=code_digest(
            "write_report",
            "report/template.html",
            "report/style.css",
            "report/sort.js",
        ),
    script:
        "../scripts/write_report.py"
