# Frozen scGPT -> embeddings of mixtures and of bulk -> adapters trained on the first, applied to the second.
include: "inputs/genomics.smk"


wildcard_constraints:
    adapter="|".join(ADAPTERS) or "none",


rule genomics:
    input:
        genomics_tables,


rule make_tiny_checkpoint:
    input:
        expression=tiny_vocabulary,
    output:
        arguments=f"{TINY}/args.json",
        vocabulary=f"{TINY}/vocab.json",
        weights=f"{TINY}/best_model.pt",
    log:
        "logs/make_tiny_checkpoint.log",
    benchmark:
        "benchmarks/make_tiny_checkpoint.tsv"
    conda:
        "../envs/genomics.yaml"
    container:
        IMAGES["genomics"]
    threads: 1
    resources:
        mem_mb=mem_gb(4),
        runtime=minutes(10),
    params:
        seed=CONFIG["seed"],
        code=code_digest("make_tiny_checkpoint"),
    script:
        "../scripts/make_tiny_checkpoint.py"


rule embed_mixtures:
    input:
        unpack(embedding_files),
        expression="results/references/{reference}/mixtures.h5ad",
    output:
        embeddings="results/references/{reference}/embeddings.parquet",
        quality="results/references/{reference}/quality.tsv",
    log:
        "logs/references/{reference}/embed_mixtures.log",
    benchmark:
        "benchmarks/references/{reference}/embed_mixtures.tsv"
    conda:
        f"../envs/{SCGPT}.yaml"
    container:
        IMAGES[SCGPT]
    threads: 1
    resources:
        **GPU,
        mem_mb=mem_gb(8),
        runtime=hours(24),
    params:
        sha256=GENOMICS["sha256"],
        settings=embed_settings(),
        seed=CONFIG["seed"],
        device=CONFIG["device"],
        backend=GENOMICS["backend"],
        index="mixture",
        code=code_digest("embed_mixtures"),
    script:
        "../scripts/embed_mixtures.py"


rule embed_bulk:
    input:
        unpack(embedding_files),
        expression="results/{cohort}/cohort/expression.h5ad",
    output:
        embeddings="results/{cohort}/genomics/scgpt/embeddings.parquet",
        quality="results/{cohort}/genomics/scgpt/quality.tsv",
    log:
        "logs/{cohort}/embed_bulk.log",
    benchmark:
        "benchmarks/{cohort}/embed_bulk.tsv"
    conda:
        f"../envs/{SCGPT}.yaml"
    container:
        IMAGES[SCGPT]
    threads: 1
    resources:
        **GPU,
        mem_mb=mem_gb(8),
        runtime=hours(12),
    params:
        sha256=GENOMICS["sha256"],
        settings=embed_settings(),
        seed=CONFIG["seed"],
        device=CONFIG["device"],
        backend=GENOMICS["backend"],
        index="patient_id",
        code=code_digest("embed_bulk"),
    script:
        "../scripts/embed_bulk.py"


rule train_adapter:
    input:
        unpack(labelled_files),
    output:
        folder=directory("results/adapters/{adapter}/model"),
        history="results/adapters/{adapter}/history.tsv",
    log:
        "logs/adapters/{adapter}/train_adapter.log",
    benchmark:
        "benchmarks/adapters/{adapter}/train_adapter.tsv"
    conda:
        "../envs/genomics.yaml"
    container:
        IMAGES["genomics"]
    threads: 1
    resources:
        mem_mb=mem_gb(4),
        runtime=hours(1),
    params:
        settings=adapter_settings,
        training=adapter_training,
        seed=CONFIG["seed"],
        code=code_digest("train_adapter"),
    script:
        "../scripts/train_adapter.py"


rule evaluate_adapter:
    input:
        unpack(labelled_files),
        adapter="results/adapters/{adapter}/model",
    output:
        evaluation="results/adapters/{adapter}/evaluation.tsv",
    log:
        "logs/adapters/{adapter}/evaluate_adapter.log",
    benchmark:
        "benchmarks/adapters/{adapter}/evaluate_adapter.tsv"
    conda:
        "../envs/genomics.yaml"
    container:
        IMAGES["genomics"]
    threads: 1
    resources:
        mem_mb=mem_gb(4),
        runtime=minutes(30),
    params:
        seed=CONFIG["seed"],
        code=code_digest("evaluate_adapter"),
    script:
        "../scripts/evaluate_adapter.py"


rule adapt_bulk:
    input:
        unpack(adapter_folder),
        embeddings="results/{cohort}/genomics/scgpt/embeddings.parquet",
    output:
        adapted="results/{cohort}/genomics/{adapter}.parquet",
    log:
        "logs/{cohort}/adapt_bulk/{adapter}.log",
    benchmark:
        "benchmarks/{cohort}/adapt_bulk/{adapter}.tsv"
    conda:
        "../envs/genomics.yaml"
    container:
        IMAGES["genomics"]
    threads: 1
    resources:
        mem_mb=mem_gb(4),
        runtime=minutes(10),
    params:
        code=code_digest("adapt_bulk"),
    script:
        "../scripts/adapt_bulk.py"


rule measure_domain:
    input:
        unpack(labelled_files),
        adapter="results/adapters/{adapter}/model",
        bulk="results/{cohort}/genomics/scgpt/embeddings.parquet",
    output:
        domain="results/{cohort}/genomics/domain/{adapter}.tsv",
    log:
        "logs/{cohort}/measure_domain/{adapter}.log",
    benchmark:
        "benchmarks/{cohort}/measure_domain/{adapter}.tsv"
    conda:
        "../envs/genomics.yaml"
    container:
        IMAGES["genomics"]
    threads: 1
    resources:
        mem_mb=mem_gb(4),
        runtime=minutes(30),
    params:
        seed=CONFIG["seed"],
        code=code_digest("measure_domain"),
    script:
        "../scripts/measure_domain.py"


rule compare_mixtures:
    input:
        bulk="results/{cohort}/cohort/expression.h5ad",
        mixtures="results/references/{reference}/mixtures.h5ad",
        vocabulary=CHECKPOINT_FILES["vocabulary"],
    output:
        table="results/{cohort}/genomics/mixtures/{reference}.tsv",
        figure=report(
            "results/{cohort}/genomics/mixtures/{reference}.svg",
            caption="report/mixtures.rst",
            category="Genomics",
            subcategory="{cohort}",
            labels={"figure": "Bulk beside mixtures", "reference": "{reference}"},
        ),
    log:
        "logs/{cohort}/compare_mixtures/{reference}.log",
    benchmark:
        "benchmarks/{cohort}/compare_mixtures/{reference}.tsv"
    conda:
        "../envs/genomics.yaml"
    container:
        IMAGES["genomics"]
    threads: 1
    resources:
        mem_mb=mem_gb(4),
        runtime=minutes(30),
    params:
        minimum_known=GENOMICS["minimum_known"],
        seed=CONFIG["seed"],
        code=code_digest("compare_mixtures"),
    script:
        "../scripts/compare_mixtures.py"


# asked for by name: snakemake results/COHORT/genomics/scgpt/backends.tsv
rule compare_scgpt:
    input:
        **CHECKPOINT_FILES,
        expression="results/{cohort}/cohort/expression.h5ad",
    output:
        comparison="results/{cohort}/genomics/scgpt/backends.tsv",
    log:
        "logs/{cohort}/compare_scgpt.log",
    benchmark:
        "benchmarks/{cohort}/compare_scgpt.tsv"
    conda:
        "../envs/scgpt.yaml"
    container:
        IMAGES["scgpt"]
    threads: 1
    resources:
        **GPU,
        mem_mb=mem_gb(8),
        runtime=hours(1),
    params:
        minimum_known=GENOMICS["minimum_known"],
        profiles=GENOMICS["compared_profiles"],
        seed=CONFIG["seed"],
        device=CONFIG["device"],
        code=code_digest("compare_scgpt"),
    script:
        "../scripts/compare_scgpt.py"
