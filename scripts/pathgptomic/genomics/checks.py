"""What can be wrong with the genomics section of a configuration beyond its schema."""

from pathlib import Path

FORMS = {"mixup": "pairs", "pca": "pairs"}
FILES = ("args.json", "vocab.json", "best_model.pt")
RESERVED = ("adapters", "references")  # folders of results/ beside those of the cohorts


def errors(config: dict, cohorts: dict[str, dict]) -> list[str]:
    """Return one sentence for everything that is wrong."""
    genomics, references = config["genomics"], config["singlecell"]["references"]
    found = [
        f"config: a cohort cannot be called '{name}'; results/{name} is taken." for name in cohorts if name in RESERVED
    ]
    found += _policy_errors(genomics)
    found += _scale_errors(config, cohorts)
    for name, adapter in genomics["adapters"].items():
        found += [f"config: genomics.adapters.{name}: {sentence}" for sentence in _adapter_errors(adapter, references)]
    # without adapters nothing is embedded, and nobody needs a checkpoint
    if genomics["adapters"]:
        found += _checkpoint_errors(genomics["checkpoint"])
    return found


def is_zscore(cohort: dict) -> bool:
    """Return whether a cohort's expression is z-scores, which scGPT cannot read."""
    expression = (cohort.get("tables") or {}).get("expression") or {}
    return cohort.get("source") == "tables" and expression.get("scale") == "zscore"


def _scale_errors(config: dict, cohorts: dict[str, dict]) -> list[str]:
    models = config.get("survival", {}).get("models", {})
    reading = [
        name
        for name, model in models.items()
        if any(modality.startswith("genomics:") for modality in model.get("modalities", []))
    ]
    return [
        f"cohort {name}: its expression is z-scores, within which scGPT cannot rank genes, but the survival model "
        f"'{reading[0]}' reads an adapter's embedding; give counts or TPM, or run this cohort without the model."
        for name, cohort in cohorts.items()
        if reading and is_zscore(cohort)
    ]


def _policy_errors(genomics: dict) -> list[str]:
    policy, found = genomics["policy"], []
    kind, _, argument = policy.partition(":")
    known = policy in ("partition", "full") or (kind == "random" and argument.isdigit() and int(argument) > 0)
    if kind == "genes" and argument:
        known = True
        if not Path(argument).is_file():
            found.append(f"config: genomics.policy names the gene list {argument}, which is not there; check the path.")
    if not known:
        found.append(
            f"config: genomics.policy is '{policy}'; choose partition, random:K (K from 1), genes:FILE or full."
        )
    if genomics["backend"] == "reference" and (policy != "random:1" or genomics["max_length"] != 1200):
        found.append(
            "config: genomics.backend reference is the published package, which draws one subset of 1199 genes; set "
            "policy: random:1 and max_length: 1200, or choose backend: native."
        )
    return found


def _adapter_errors(adapter: dict, references: dict) -> list[str]:
    method, name = adapter["method"], adapter["reference"]
    if not name:
        return [] if method == "none" else [f"the method {method} needs a reference (one of singlecell.references)."]
    if name not in references:
        known = ", ".join(references) or "none"
        return [f"there is no reference '{name}' in singlecell.references (there: {known})."]
    forms = references[name]["mixtures"]["forms"]
    form = adapter["form"] or FORMS.get(method, "cells")
    if method != "none" and form not in forms:
        return [f"it is trained on the form {form}, which reference '{name}' does not make; add it to mixtures.forms."]
    return []


def _checkpoint_errors(checkpoint: str) -> list[str]:
    missing = [name for name in FILES if not (Path(checkpoint) / name).is_file()]
    if checkpoint == "tiny" or not missing:
        return []
    return [
        f"config: genomics.checkpoint {checkpoint} lacks {', '.join(missing)}; put the three files of an official "
        "scGPT checkpoint there (config/scgpt.md), or set it to tiny for a trial with random weights."
    ]
