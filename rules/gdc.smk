# Cohorts that are made up with a known truth.
from pathgptomic.config import resolve

SIMULATED = [name for name, cohort in COHORTS.items() if cohort["simulate"]]


def simulation_settings(wildcards):
    """Return the `simulate` section of the cohort."""
    return COHORTS[wildcards.cohort]["simulate"]


rule simulate_cohort:
    output:
        clinical=resolve(CONFIG, "resources/{cohort}/clinical.tsv"),
        expression=resolve(CONFIG, "resources/{cohort}/expression.parquet"),
        cnv=resolve(CONFIG, "resources/{cohort}/cnv.parquet"),
        mutations=resolve(CONFIG, "resources/{cohort}/mutations.parquet"),
        features=directory(resolve(CONFIG, "resources/{cohort}/features")),
        truth=resolve(CONFIG, "resources/{cohort}/truth.json"),
        hazards=resolve(CONFIG, "resources/{cohort}/true_hazards.tsv"),
    log:
        "logs/{cohort}/simulate_cohort.log",
    benchmark:
        "benchmarks/{cohort}/simulate_cohort.tsv"
    wildcard_constraints:
        cohort="|".join(SIMULATED) or "none",
    conda:
        "../envs/cohort.yaml"
    container:
        IMAGES["cohort"]
    threads: 1
    resources:
        mem_mb=mem_gb(4),
        runtime=minutes(30),
    params:
        settings=simulation_settings,
        seed=CONFIG["seed"],
        code=code_digest("simulate_cohort", "cohort/simulate/genes.tsv"),
    script:
        "../scripts/simulate_cohort.py"
