"""What the models of a run are, said once for the evaluation, the figures and the report: titles, families, twins."""

import json
from collections.abc import Mapping
from typing import Any

PAPER = "path-gptomic"  # the strategy of balanced training that the report is about
FUSION, SINGLE, COMBINED, CLASSICAL = (
    "Fusion networks",
    "Networks on one kind of data",
    "Combined models",
    "Classical models",
)
FAMILIES = (FUSION, SINGLE, COMBINED, CLASSICAL)
BRANCH = {name: name for name in ("clinical", "slides", "rois")}  # every other modality belongs to branch "genomics"
OMICS = ["cnv", "expression", "mutations"]
BASELINES = {  # name -> title, modalities
    "clinical-cox": ("Clinical variables alone (Cox)", ["clinical"]),
    "clinical-spline-cox": ("Clinical variables alone (Cox, splines)", ["clinical"]),
    "elastic-net-expression": ("Elastic net, expression", ["expression"]),
    "elastic-net-cnv": ("Elastic net, copy number", ["cnv"]),
    "elastic-net-mutations": ("Elastic net, mutations", ["mutations"]),
    "elastic-net-omics": ("Elastic net, all omics", OMICS),
    "pca-cox-expression": ("Principal components of expression (Cox)", ["expression"]),
    "block-cox": ("Block-penalised Cox, clinical and omics", ["clinical", *OMICS]),
    "random-survival-forest": ("Random survival forest, clinical and omics", ["clinical", *OMICS]),
}


def catalogue(survival: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what each model and baseline of the `survival` section of the configuration is.

    Returns
    -------
    dict
        By name; the model that the report is about stands first (the first that is balanced as in the paper, else the
        first of all), the others by family and then as configured. Plain JSON types: ``kind`` (model or baseline),
        ``title``, ``family``, ``modalities`` (those of all members of a combination), ``branches``, ``trained`` (a
        network of its own, with a history), ``strategy`` (of balanced training; empty where there is nothing to
        balance), ``with_clinical`` (the model that differs by the clinical variables alone; may be empty) and
        ``unbalanced`` (the model that differs by having no balance; may be empty).
    """
    models = survival["models"]
    found = {name: _model_facts(name, models) for name in models}
    for name, facts in found.items():
        facts["with_clinical"] = _twin(name, models, found, "clinical")
        facts["unbalanced"] = _twin(name, models, found, "balance") if facts["strategy"] not in ("", "none") else ""
    found |= {name: _baseline_facts(name) for name in survival["baselines"]}
    about = next((name for name, facts in found.items() if facts["strategy"] == PAPER), next(iter(found)))
    order = sorted(found, key=lambda name: (name != about, FAMILIES.index(found[name]["family"])))
    return {name: found[name] for name in order}


def _model_facts(name: str, models: Mapping[str, Any]) -> dict[str, Any]:
    settings, branches = models[name], _branches(name, models)
    family = COMBINED if settings.get("combine") else FUSION if len(branches) > 1 else SINGLE
    return {
        "kind": "model",
        "title": settings.get("title") or name,
        "family": family,
        "modalities": _modalities(name, models),
        "branches": branches,
        "trained": family != COMBINED,
        "strategy": settings.get("balance", {}).get("strategy", "none") if family == FUSION else "",
    }


def _baseline_facts(name: str) -> dict[str, Any]:
    title, modalities = BASELINES.get(name, (name, []))
    return {
        "kind": "baseline",
        "title": title,
        "family": CLASSICAL,
        "modalities": modalities,
        "branches": _branches(name, {}),
        "trained": False,
        "strategy": "",
        "with_clinical": "",
        "unbalanced": "",
    }


def _modalities(name: str, models: Mapping[str, Any]) -> list[str]:
    """Return the modalities of a model, a baseline, or all members of a combination."""
    if name not in models:
        return BASELINES.get(name, ("", []))[1]
    own = set(models[name].get("modalities") or [])
    members = {each for member in models[name].get("combine") or [] for each in _modalities(member, models)}
    return sorted(own | members)


def _branches(name: str, models: Mapping[str, Any]) -> list[str]:
    return sorted({BRANCH.get(modality, "genomics") for modality in _modalities(name, models)})


def _twin(name: str, models: Mapping[str, Any], found: Mapping[str, Mapping[str, Any]], by: str) -> str:
    """Return the model that differs from `name` by one thing: it has clinical variables, or it has no balance."""
    mine = "clinical" in found[name]["branches"]
    for other, facts in found.items():
        gains_clinical = "clinical" in facts["branches"] and not mine
        differs = gains_clinical if by == "clinical" else facts["strategy"] == "none"
        if differs and other != name and _rest(other, models, by) == _rest(name, models, by):
            return other
    return ""


def _rest(name: str, models: Mapping[str, Any], by: str) -> str:
    """Return a model's settings without the title and without what twins differ by, as text that can be compared."""
    rest = {key: value for key, value in models[name].items() if key != "title"}
    if by == "balance":
        rest.pop("balance", None)
    else:
        rest["modalities"] = [each for each in rest.get("modalities") or [] if each != "clinical"]
        members = rest.get("combine") or []
        rest["combine"] = [each for each in members if _branches(each, models) != ["clinical"]]
    return json.dumps(rest, sort_keys=True)
