"""The answer in one sentence, the same in plain words, and what to know before believing it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pathgptomic.report.study import FOLDS, Study
from pathgptomic.report.wording import count, in_sentence, interval, listed, missing, number, p_value, percent, signed

FEW_DEATHS = 10  # in a test fold
CLINICAL = "clinical variables alone"


def answer(study: Study) -> str:
    """Return what the report has to say about its first model, with the numbers."""
    row = study.summary.loc[study.headline]
    clinical = study.reference("clinical")
    reached = f"{study.name(study.headline)} reached a C-index of {number(row['c_mean'])}{_interval(study, row)}"
    sentence = f"On {count(row['patients'], 'patient')} ({count(row['events'], 'death')}), {reached}"
    if not clinical or clinical == study.headline:
        return f"{sentence}."
    reference = f"{CLINICAL} {number(study.summary.loc[clinical, 'c_mean'])}"
    return f"{sentence}, {reference}; {difference(study, study.headline, clinical, CLINICAL)}."


def plain_words(study: Study) -> list[str]:
    """Return how to read the answer: pairs of patients, the model with clinical variables, late fusion, resolution."""
    headline, clinical, late = study.headline, study.reference("clinical"), study.reference("late_fusion")
    sentences = [_pairs(study, headline, clinical)]
    partner = study.catalogue[headline].get("with_clinical", "")
    if partner in study.summary.index and clinical:
        c = number(study.summary.loc[partner, "c_mean"])
        gain = difference(study, partner, clinical, CLINICAL)
        sentences.append(f"With the clinical variables as a further branch the C-index was {c}; {gain}.")
    if late and late != headline:
        name, c = study.name(late), number(study.summary.loc[late, "c_mean"])
        sentences.append(f"{name} reached {c}; {difference(study, headline, late, in_sentence(name))}.")
    return [*sentences, *_resolution(study, headline, clinical), *_highest(study, clinical)]


def difference(study: Study, model: str, against: str, name: str) -> str:
    """Return 'difference +0.012 (95 % CI ...): not distinguishable', as the comparison says."""
    found = study.comparison(model, against)
    if found is None:
        change = study.summary.loc[model, "c_mean"] - study.summary.loc[against, "c_mean"]
        return f"difference {signed(change)}: not tested"
    p = "" if missing(found["p"]) else f"; {p_value(found['p'])}, adjusted {p_value(found['p_adjusted'])}"
    where = "" if found["test"] == FOLDS else " on the pooled patients"
    span = interval(found["ci_low"], found["ci_high"], sign=True)
    return f"difference {signed(found['delta'])}{where} ({study.level} CI {span}{p}): {verdict_words(found, name)}"


def verdict_words(comparison: Mapping[str, Any], name: str) -> str:
    """Return 'better than NAME', 'worse than NAME' or the verdict as it is."""
    verdict = str(comparison["verdict"])
    return f"{verdict} than {name}" if verdict in ("better", "worse") else verdict


def alerts(study: Study) -> list[str]:
    """Return what the reader must know first, each in one or two sentences."""
    warned = [str(finding["check"]) for finding in study.audit if finding["status"] != "pass"]
    found = [f"The label audit gave {count(len(warned), 'warning')}: {listed(warned)}; see below."] if warned else []
    row = study.summary.loc[study.headline]
    if len(study.patients) > row["patients"]:
        left = len(study.patients) - int(row["patients"])
        found.append(
            f"{count(left, 'patient')} of {len(study.patients):,} are in no test fold and are not in any result."
        )
    deaths = fold_deaths(study)
    if len(deaths) and deaths.min() < FEW_DEATHS:
        found.append(
            f"The smallest test fold holds {count(deaths.min(), 'death')}; single folds say little, and every interval "
            "is wide."
        )
    if study.in_sample_images:
        found.append(
            "The image inputs of training patients are outputs of a network that was trained on these very patients. "
            "In training an image branch therefore looks better than it is; only test patients show what it is worth."
        )
    if not missing(row["dcal_p"]) and row["dcal_p"] < study.methods["settings"]["alpha"]:
        found.append(
            f"The survival percentages of {study.name(study.headline)} do not fit what happened (D-calibration "
            f"{p_value(row['dcal_p'])}); use its ranking, not its percentages."
        )
    return found


def fold_deaths(study: Study) -> np.ndarray:
    """Return the number of deaths in each test fold, shape (F,)."""
    test = study.splits[study.splits["role"] == "test"]
    return study.patients["event"].loc[test["patient_id"]].groupby(test["fold"].to_numpy()).sum().to_numpy(int)


def _interval(study: Study, row: Mapping[str, Any]) -> str:
    if not missing(row["c_ci_low"]):
        return f" ({study.level} CI {interval(row['c_ci_low'], row['c_ci_high'])})"
    if not missing(row["c_pooled_low"]):
        return f" ({study.level} CI from resampled patients {interval(row['c_pooled_low'], row['c_pooled_high'])})"
    return ""


def _pairs(study: Study, model: str, clinical: str) -> str:
    right = f"{study.name(model)} names that patient in {percent(study.summary.loc[model, 'c_mean'])}"
    if clinical and clinical != model:
        right += f", {CLINICAL} in {percent(study.summary.loc[clinical, 'c_mean'])}"
    return f"Of two patients of whom it is known who died first, {right} of all cases."


def _resolution(study: Study, model: str, clinical: str) -> list[str]:
    """Say what 'not distinguishable' leaves open."""
    found = study.comparison(model, clinical) if clinical else None
    if found is None or found["verdict"] != "not distinguishable" or missing(found["minimum_detectable"]):
        return []
    alone = "better" if found["delta"] > 0 else "worse"
    if found["p"] < study.methods["settings"]["alpha"]:
        return [
            f"Looked at alone, {study.name(model)} would count as {alone} than {CLINICAL} ({p_value(found['p'])}); "
            f"among {int(found['family'])} {_family(found)} comparisons, differences of that size turn up by chance."
        ]
    power = percent(study.methods["settings"]["power"])
    return [
        f"Not distinguishable does not mean equal: this design finds a true difference with {power} power only if it "
        f"is {number(found['minimum_detectable'])} or more."
    ]


def _family(comparison: Mapping[str, Any]) -> str:
    return "primary" if comparison["primary"] else "exploratory"


def _highest(study: Study, clinical: str) -> list[str]:
    """Name the model with the highest C-index, with the caution that picking it calls for."""
    best = study.summary["c_mean"].idxmax()
    if len(study.summary) < 3 or best in (study.headline, clinical):
        return []
    name, c = study.name(best), number(study.summary.loc[best, "c_mean"])
    text = f"The highest mean C-index of all {len(study.summary)} models is that of {in_sentence(name)}, {c}"
    if clinical and study.comparison(best, clinical):
        text += f"; {difference(study, best, clinical, CLINICAL)}"
    return [f"{text}. A winner picked after the fact is flattered by chance."]
