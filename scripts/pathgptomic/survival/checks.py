"""What the schema cannot say about models: who combines whom, which cohort has what a model reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pathgptomic.cohort.gdc.checks import encodes_slides
from pathgptomic.survival.catalogue import BASELINES

ADAPTER = "genomics:"
BRANCH = {name: name for name in ("slides", "rois", "clinical")}  # every other modality belongs to branch "genomics"


def errors(config: dict[str, Any], cohorts: dict[str, dict[str, Any]]) -> list[str]:
    """Return one sentence for each thing that would stop the survival stage."""
    survival = config["survival"]
    adapters = set((config.get("genomics") or {}).get("adapters") or {})
    found = []
    for name, model in survival["models"].items():
        found += _model(name, model, survival, adapters)
        found += _rois(name, model, config) if "rois" in model["modalities"] else []
        for cohort, content in cohorts.items():
            found += _cohort(name, model, cohort, content)
            if "rois" in model["modalities"]:
                found += _cohort_rois(name, cohort, content, config["slides"]["keep_slides"])
    for name in survival["baselines"]:
        if name in survival["models"]:
            found.append(f"survival.models.{name} has the name of a baseline; rename the model.")
        for cohort, content in cohorts.items():
            if not set(BASELINES[name]) & set(content["modalities"]):
                found.append(
                    f"cohort {cohort} has none of {', '.join(BASELINES[name])}, which the baseline {name} reads; "
                    "take it off survival.baselines."
                )
    return found + list(_predict(survival, cohorts))


def _model(name: str, model: Mapping, survival: Mapping, adapters: set[str]) -> Iterator[str]:
    where = f"survival.models.{name}"
    if bool(model["modalities"]) == bool(model["combine"]):
        yield f"{where} needs either `modalities` (a network is trained) or `combine` (other models are averaged)."
    known = {*survival["models"], *survival["baselines"]}
    for member in model["combine"]:
        if member not in known:
            yield f"{where} combines {member!r}, which is neither a model nor a listed baseline; correct the name."
        elif survival["models"].get(member, {}).get("combine"):
            yield f"{where} combines {member!r}, itself a combination; name the models that {member!r} combines."
    if len(model["combine"]) == 1:
        yield f"{where} combines one model; name two or more."
    branches = {BRANCH.get(each, "genomics") for each in model["modalities"]}
    if model["fusion"] == "kronecker" and len(branches) == 1:
        yield f"{where} has the one branch {min(branches)}; Kronecker fusion needs two, set `fusion: concat`."
    if model["pooling"] == "attention" and model["modalities"] and "slides" not in branches:
        yield f"{where} pools by attention but reads no slides; add slides or set `pooling: mean`."
    if model["balance"]["rho"] != "softmax_share" and model["balance"]["aggregate"] == "mean":
        yield f"{where}.balance.aggregate is mean, which is defined for `rho: softmax_share` only."
    for each in model["modalities"]:
        adapter = each.removeprefix(ADAPTER)
        if adapter != each and adapter not in adapters:
            yield f"{where} reads {each!r}, but genomics.adapters has no {adapter!r}; add the adapter."


def _rois(name: str, model: Mapping, config: Mapping) -> Iterator[str]:
    where, own, side = f"survival.models.{name}.rois", model["rois"], config["slides"]["rois"]["size"]
    if own["crop"] > side:
        yield f"{where}.crop is {own['crop']}, larger than the regions (slides.rois.size {side}); lower it."
    if own["weights"] and not Path(own["weights"]).is_file():
        yield f"there is no file {own['weights']}; correct {where}.weights, or leave it out."


def _cohort(name: str, model: Mapping, cohort: str, content: Mapping) -> Iterator[str]:
    for each in model["modalities"]:
        needed = "expression" if each.startswith(ADAPTER) else each
        if needed != "rois" and needed not in content["modalities"]:
            yield (
                f"cohort {cohort} has no {needed}, which survival.models.{name} reads; add it to the cohort's "
                "`modalities` or take it off the model."
            )
    if "clinical" in model["modalities"] and not content["covariates"]:
        yield f"cohort {cohort} names no covariates, which survival.models.{name} reads; add `covariates`."


def _cohort_rois(name: str, cohort: str, content: Mapping, keep_slides: bool) -> Iterator[str]:
    """Say why a cohort has no regions for an image network: neither pictures nor slides that can be read."""
    if content["slides"]["rois"]:
        return
    from_gdc, given = content["source"] == "gdc", content["tables"]["slides"] or {}
    if not (encodes_slides(content) if from_gdc else "slides" in content["modalities"] and given.get("images")):
        slides = (
            "have slides in its `modalities` without `tables.slides`"
            if from_gdc
            else "of slides in `tables.slides.images`"
        )
        yield (
            f"cohort {cohort} has no regions of interest, which survival.models.{name} reads; name a folder of "
            f"pictures in the cohort's `slides.rois`, or {slides}."
        )
    elif from_gdc and not keep_slides:
        yield (
            f"slides.keep_slides is false, but survival.models.{name} draws its regions from the slides of cohort "
            f"{cohort}; set it to true."
        )


def _predict(survival: Mapping, cohorts: Mapping) -> Iterator[str]:
    predict = survival["predict"]
    if not predict["model"] and not predict["cohort"]:
        return
    model = survival["models"].get(predict["model"])
    if model is None or not model["modalities"]:
        trained = ", ".join(name for name, each in survival["models"].items() if each["modalities"])
        yield f"survival.predict.model is {predict['model']!r}; name a trained model: {trained}."
        return
    if predict["cohort"] not in cohorts:
        yield f"survival.predict.cohort is {predict['cohort']!r}; name one of the run's cohorts: {', '.join(cohorts)}."
    for each in model["modalities"]:
        if each not in predict["tables"]:
            yield f"survival.predict.tables lacks {each}, which the model {predict['model']} reads; name its file."
