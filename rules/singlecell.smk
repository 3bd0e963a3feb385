# Single cells with labels -> a donor-split reference -> labelled mixtures that stand in for bulk tissue.
include: "inputs/singlecell.smk"


wildcard_constraints:
    reference="|".join(REFERENCES) or "none",


rule simulate_cells:
    output:
        cells=resolve(CONFIG, "resources/{cohort}/cells.h5ad"),
    log:
        "logs/{cohort}/simulate_cells.log",
    benchmark:
        "benchmarks/{cohort}/simulate_cells.tsv"
    wildcard_constraints:
        cohort="|".join(SIMULATED_CELLS) or "none",
    conda:
        "../envs/singlecell.yaml"
    container:
        IMAGES["singlecell"]
    threads: 1
    resources:
        mem_mb=mem_gb(4),
        runtime=minutes(15),
    params:
        settings=simulated_cohort,
        seed=CONFIG["seed"],
        code=code_digest("simulate_cells", "cohort/simulate/genes.tsv"),
    script:
        "../scripts/simulate_cells.py"


rule fetch_cells:
    input:
        unpack(reference_files),
    output:
        cells="results/references/{reference}/cells.h5ad",
        composition="results/references/{reference}/composition.tsv",
    log:
        "logs/references/{reference}/fetch_cells.log",
    benchmark:
        "benchmarks/references/{reference}/fetch_cells.tsv"
    localrule: FETCH_LOCALLY
    conda:
        "../envs/singlecell.yaml"
    container:
        IMAGES["singlecell"]
    threads: 1
    resources:
        **(NETWORK | {"network": downloads}),
        mem_mb=mem_gb(8),
        runtime=hours(4),
    params:
        settings=reference_settings,
        seed=CONFIG["seed"],
        code=code_digest("fetch_cells"),
    script:
        "../scripts/fetch_cells.py"


rule mix_cells:
    input:
        cells="results/references/{reference}/cells.h5ad",
    output:
        mixtures="results/references/{reference}/mixtures.h5ad",
    log:
        "logs/references/{reference}/mix_cells.log",
    benchmark:
        "benchmarks/references/{reference}/mix_cells.tsv"
    conda:
        "../envs/singlecell.yaml"
    container:
        IMAGES["singlecell"]
    threads: 1
    resources:
        mem_mb=mem_gb(8),
        runtime=hours(2),
    params:
        settings=mixture_settings,
        seed=CONFIG["seed"],
        code=code_digest("mix_cells"),
    script:
        "../scripts/mix_cells.py"
