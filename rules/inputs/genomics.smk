# What the rules of ../genomics.smk read and are told: named functions of their wildcards.
from pathgptomic.genomics.checks import is_zscore

GENOMICS = CONFIG["genomics"]
ADAPTERS = GENOMICS["adapters"]
# Adapters with a reference: trained (method none: only measured) and evaluated
TRAINED_ADAPTERS = [name for name, adapter in ADAPTERS.items() if adapter["reference"]]
TINY = "resources/scgpt/tiny"
CHECKPOINT = TINY if GENOMICS["checkpoint"] == "tiny" else GENOMICS["checkpoint"]
CHECKPOINT_FILES = {
    "arguments": f"{CHECKPOINT}/args.json",
    "vocabulary": f"{CHECKPOINT}/vocab.json",
    "weights": f"{CHECKPOINT}/best_model.pt",
}
# The published package needs versions of its own
SCGPT = "scgpt" if GENOMICS["backend"] == "reference" else "genomics"
EMBED_KEYS = (
    "policy",
    "max_length",
    "precision",
    "batch_tokens",
    "shard",
    "minimum_known",
    "quality_profiles",
)
ADAPTER_KEYS = ("method", "width", "loss", "dropout", "noise", "beta")
TRAINING_KEYS = (
    "form",
    "epochs",
    "patience",
    "batch",
    "learning_rate",
    "weight_decay",
)
# z-scores cannot be embedded
GENOMICS_COHORTS = [
    name
    for name, cohort in COHORTS.items()
    if "expression" in cohort["modalities"] and not is_zscore(cohort)
]


def embed_settings():
    """Return how profiles are embedded; a gene list is an input too, so that a change in it is seen."""
    return {key: GENOMICS[key] for key in EMBED_KEYS}


def embedding_files(wildcards):
    """Return the checkpoint's files, and the gene list where the policy names one."""
    listed = GENOMICS["policy"].startswith("genes:")
    genes = {"genes": GENOMICS["policy"].partition(":")[2]} if listed else {}
    return CHECKPOINT_FILES | genes


def adapter_settings(wildcards):
    """Return what an adapter is."""
    return {key: ADAPTERS[wildcards.adapter][key] for key in ADAPTER_KEYS}


def adapter_training(wildcards):
    """Return how an adapter is trained."""
    return {key: ADAPTERS[wildcards.adapter][key] for key in TRAINING_KEYS}


def labelled_files(wildcards):
    """Return the labelled profiles of an adapter's reference and their embeddings."""
    folder = f"results/references/{ADAPTERS[wildcards.adapter]['reference']}"
    return {
        "mixtures": f"{folder}/mixtures.h5ad",
        "embeddings": f"{folder}/embeddings.parquet",
    }


def adapter_folder(wildcards):
    """Return the folder of an adapter that learns something, nothing for the frozen embedding."""
    if ADAPTERS[wildcards.adapter]["method"] == "none":
        return {}
    return {"adapter": f"results/adapters/{wildcards.adapter}/model"}


def tiny_vocabulary(wildcards):
    """Return the files whose genes the tiny checkpoint knows."""
    bulk = expand("results/{cohort}/cohort/expression.h5ad", cohort=GENOMICS_COHORTS)
    return bulk + expand(
        "results/references/{reference}/cells.h5ad", reference=REFERENCES
    )


def genomics_tables(wildcards):
    """Return everything that the stage reports beside the adapted embeddings."""
    references = {ADAPTERS[name]["reference"] for name in TRAINED_ADAPTERS}
    embeddings = expand(
        "results/{cohort}/genomics/{adapter}.parquet",
        cohort=GENOMICS_COHORTS,
        adapter=ADAPTERS,
    )
    evaluations = expand(
        "results/adapters/{adapter}/evaluation.tsv", adapter=TRAINED_ADAPTERS
    )
    domains = expand(
        "results/{cohort}/genomics/domain/{adapter}.tsv",
        cohort=GENOMICS_COHORTS,
        adapter=TRAINED_ADAPTERS,
    )
    coverage = expand(
        "results/{cohort}/genomics/mixtures/{reference}.svg",
        cohort=GENOMICS_COHORTS,
        reference=sorted(references),
    )
    return embeddings + evaluations + domains + coverage
