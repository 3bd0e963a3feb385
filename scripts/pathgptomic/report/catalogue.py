"""What the models of a run are, said once for the evaluation, the figures and the report: titles, families, twins."""

import json
from collections.abc import Mapping
from typing import Any

FUSION, SINGLE, COMBINED, CLASSICAL = (
    "Fusion networks",
    "Networks on one kind of data",
    "Combined models",
    "Classical models",
)
BRANCH = {"clinical": "clinical", "slides": "slides"}  # every other modality belongs to the branch "genomics"
CLINICAL_ALONE = ("clinical-cox", "clinical-spline-cox", "unimodal-clinical")
BASELINE_TITLES = {
    "clinical-cox": "Clinical variables alone (Cox)",
    "clinical-spline-cox": "Clinical variables alone (Cox, splines)",
    "elastic-net-expression": "Elastic net, expression",
    "elastic-net-cnv": "Elastic net, copy number",
    "elastic-net-mutations": "Elastic net, mutations",
    "elastic-net-omics": "Elastic net, all omics",
    "block-cox": "Block-penalised Cox, clinical and omics",
    "random-survival-forest": "Random survival forest, clinical and omics",
}


def catalogue(survival: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what each model and baseline of the `survival` section of the configuration is.

    Returns
    -------
    dict
        By name, models as configured and baselines after them; plain JSON types: ``kind`` (model or baseline),
        ``title``, ``family``, ``branches`` (empty for baselines), ``trained`` (a network of its own, with a history),
        ``strategy`` (of balanced training; empty where there is nothing to balance), ``with_clinical`` (the model that
        differs by the clinical variables alone; may be empty) and ``unbalanced`` (the model that differs by having no
        balance; may be empty).
    """
    models = survival["models"]
    found: dict[str, dict[str, Any]] = {name: _model_facts(name, models) for name in models}
    for facts, name in zip(list(found.values()), models, strict=True):
        facts["with_clinical"] = _twin(name, models, found, "clinical")
        facts["unbalanced"] = _twin(name, models, found, "balance") if facts["strategy"] not in ("", "none") else ""
    for name in survival["baselines"]:
        title = BASELINE_TITLES.get(name, name)
        found[name] = {
            "kind": "baseline",
            "title": title,
            "family": CLASSICAL,
            "branches": [],
            "trained": False,
            "strategy": "",
            "with_clinical": "",
            "unbalanced": "",
        }
    return found


def _model_facts(name: str, models: Mapping[str, Any]) -> dict[str, Any]:
    settings = models[name]
    if _members(settings):
        found = {branch for member in _members(settings) for branch in _branches(models.get(member, {}))}
        branches = sorted(found | ({"clinical"} if _has_clinical(settings) else set()))
        family, strategy = COMBINED, ""
    else:
        branches = _branches(settings)
        family = FUSION if len(branches) > 1 else SINGLE
        strategy = settings.get("balance", {}).get("strategy", "none") if len(branches) > 1 else ""
    return {
        "kind": "model",
        "title": settings.get("title") or name,
        "family": family,
        "branches": branches,
        "trained": family != COMBINED,
        "strategy": strategy,
    }


def _branches(settings: Mapping[str, Any]) -> list[str]:
    return sorted({BRANCH.get(modality, "genomics") for modality in settings.get("modalities", [])})


def _members(settings: Mapping[str, Any]) -> list[str]:
    return list(settings.get("combine") or [])


def _twin(name: str, models: Mapping[str, Any], found: Mapping[str, Mapping[str, Any]], by: str) -> str:
    """Return the model that differs from `name` by one thing: it has clinical variables, or it has no balance."""
    mine = _has_clinical(models[name])
    for other, settings in models.items():
        gains_clinical = _has_clinical(settings) and not mine
        differs = gains_clinical if by == "clinical" else found[other]["strategy"] == "none"
        if differs and other != name and _rest(settings, by) == _rest(models[name], by):
            return other
    return ""


def _has_clinical(settings: Mapping[str, Any]) -> bool:
    return "clinical" in settings.get("modalities", []) or any(map(_is_clinical, _members(settings)))


def _is_clinical(member: str) -> bool:
    """Return whether a member of a combination is a model of the clinical variables alone."""
    return member in CLINICAL_ALONE


def _rest(settings: Mapping[str, Any], by: str) -> str:
    """Return the settings without the title and without what twins differ by, as text that can be compared."""
    rest = {key: value for key, value in settings.items() if key != "title"}
    if by == "balance":
        rest.pop("balance", None)
    else:
        rest["modalities"] = [each for each in settings.get("modalities") or [] if each != "clinical"]
        rest["combine"] = [each for each in _members(settings) if not _is_clinical(each)]
    return json.dumps(rest, sort_keys=True)
