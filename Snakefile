"""Path-GPTOmic: from TCGA or local tables to an honest report of multi-modal survival prediction."""

from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")


configfile: Path(workflow.basedir) / "config" / "config.yaml"


report: "rules/report/workflow.rst"


include: "rules/common.smk"
include: "rules/cohort.smk"
include: "rules/gdc.smk"
include: "rules/singlecell.smk"
include: "rules/genomics.smk"
include: "rules/slides.smk"
include: "rules/survival.smk"
include: "rules/report.smk"
include: "rules/operations.smk"


# seconds each, so that they run beside snakemake and are no jobs of a cluster
localrules:
    combine_models,
    summarise_balance,
    plot_forest,
    plot_gap,
    plot_balance,
    plot_survival_curves,
    plot_calibration,
    plot_flow,
    write_report,


rule all:
    default_target: True
    input:
        expand("results/{cohort}/report/report.html", cohort=COHORTS),
