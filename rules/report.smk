# Predictions of all models -> evaluation -> figures -> one page a cohort.
include: "inputs/report.smk"


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
        run="results/{cohort}/report/run.json",
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
        slide_pictures=slide_pictures,
        code=code_digest(
            "write_report",
            "report/template.html",
            "report/style.css",
            "report/sort.js",
        ),
    script:
        "../scripts/write_report.py"
