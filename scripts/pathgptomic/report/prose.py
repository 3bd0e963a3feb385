"""The paragraphs of the report: how to read each section, methods from the settings, and what cannot be said."""

from collections.abc import Mapping
from typing import Any

from pathgptomic.report.answer import CLINICAL, fold_deaths
from pathgptomic.report.study import Study
from pathgptomic.report.wording import count, in_sentence, listed, missing, number, p_value, percent

SCHEMES = {
    "published": "by the published splits of this cohort",
    "kfold": "into folds balanced for deaths, each patient tested once",
    "repeated": "into folds balanced for deaths, several times over",
    "monte-carlo": "at random, several times over",
    "site-preserved": "into folds that share no hospital, balanced for deaths",
    "leave-one-site-out": "by hospital, each hospital tested once",
}
DATA = {
    "clinical": "clinical variables",
    "expression": "gene expression (bulk RNA-seq)",
    "cnv": "copy number",
    "mutations": "mutations",
    "slides": "pathology slides",
    "rois": "regions of interest of pathology slides",
}
DEFINITIONS = {
    "harrell_c": "C-index",
    "uno_c": "Uno's C",
    "auc": "AUC",
    "survival": "Predicted survival",
    "ibs": "Brier score (IBS)",
    "ipa": "IPA",
    "dcal_p": "D-calibration",
    "seed": "Several seeds",
    "pooled": "Pooled",
    "ci_folds": "Interval over folds",
    "ci_bootstrap": "Interval over patients",
    "nadeau-bengio": "Test over folds",
    "bootstrap": "Test over patients",
    "p_adjusted": "Adjusted p",
    "minimum_detectable": "Detectable difference",
    "risk_groups": "Risk groups",
}


def risk_group_text(study: Study) -> str:
    """Return how risk groups were made and what their curves show."""
    rows = study.risk_groups
    rows = rows[(rows["fold"] == "pooled") & (rows["model"] == study.headline)]
    cuts = listed([f"{100 * share:.0f} %" for share in sorted(study.methods["settings"]["risk_group_quantiles"])])
    text = (
        "A patient belongs to a group by how the predicted risk compares with those of training patients: cut-offs at "
        f"{cuts} of the training patients, fixed before any test patient was looked at. Curves are Kaplan-Meier "
        f"estimates with {study.level} bands; ticks are patients last seen alive."
    )
    if rows.empty or missing(rows["logrank_p"].iloc[0]):
        return text
    apart = rows["logrank_p"].iloc[0] < study.methods["settings"]["alpha"]
    found = "differ" if apart else "cannot be told apart"
    return f"{text} The groups of {study.name(study.headline)} {found} (log-rank {p_value(rows['logrank_p'].iloc[0])})."


def calibration_text(study: Study) -> str:
    """Return how to read the calibration plots, and what they show of the first model."""
    groups = study.methods["settings"]["calibration_groups"]
    row = study.summary.loc[study.headline]
    text = (
        f"Each mark is one of {groups} groups of patients of similar predicted survival: predicted share alive against "
        "the share actually alive, with its interval. On the dashed line the two agree; below it the model was too "
        "hopeful."
    )
    if missing(row["calibration_slope"]):
        return text
    slope = row["calibration_slope"]
    words = "about right" if 0.9 <= slope <= 1.1 else "too extreme" if slope < 0.9 else "too cautious"
    return f"{text} {study.name(study.headline)}: slope {number(slope, 2)}, predictions are {words}."


def audit_text(study: Study) -> str:
    """Return what the label audit found, counted."""
    states = [finding["status"] for finding in study.audit]
    bad = [finding["check"] for finding in study.audit if finding["status"] != "pass"]
    text = f"{count(len(states), 'check')} of outcomes, tables and folds ran before any model was fitted; "
    return text + (f"{len(bad)} gave a warning: {listed(bad)}." if bad else "all passed.")


def methods_text(study: Study, model: Mapping[str, Any], seeds: int) -> list[str]:
    """Return the methods section.

    Parameters
    ----------
    model
        Settings of the report's first model (``survival.models.<name>``), empty where it is a baseline.
    seeds
        Number of training runs a fold.
    """
    return [
        _cohort_methods(study),
        *([_model_methods(study, model, seeds)] if model.get("modalities") else []),
        *([compared] if (compared := _compared(study)) else []),
        "Everything that is fitted (imputation, scaling, choice of features, weights of combinations, stopping, "
        "survival baselines, cut-offs) was fitted inside the training part of each fold.",
    ]


def definitions(study: Study) -> list[dict[str, str]]:
    """Return what each number of the evaluation is, as the evaluation says it."""
    found = study.methods["definitions"]
    return [{"term": term, "meaning": found[key]} for key, term in DEFINITIONS.items()]


def _cohort_methods(study: Study) -> str:
    cohort = study.cohort
    data = listed([_data(modality) for modality in cohort["modalities"]])
    rule = (
        "Patients who lack any of these were excluded."
        if cohort["missing"] == "drop"
        else "Patients who lack some of these were kept, with that branch masked."
    )
    sizes = fold_deaths(study)
    scheme = SCHEMES.get(cohort["splits"]["scheme"], cohort["splits"]["scheme"])
    return (
        f"{study.title}: {count(len(study.patients), 'patient')}, {count(study.patients['event'].sum(), 'death')}; the "
        f"outcome is death of any cause. Data: {data}. {rule} Patients were split {scheme}: "
        f"{count(len(sizes), 'test fold')} with {sizes.min()} to {sizes.max()} deaths."
    )


def _model_methods(study: Study, model: Mapping[str, Any], seeds: int) -> str:
    data = listed([_data(modality) for modality in model["modalities"]])
    fusion = {"concat": "concatenation", "kronecker": "a gated Kronecker product"}.get(model["fusion"], model["fusion"])
    loss, training, balance = model["loss"], model["training"], model["balance"]
    stop = "early stopping on inner validation parts" if training["early_stopping"] else "a fixed number of epochs"
    text = (
        f"{study.name(study.headline)} joins {data} by {fusion}. It was trained on the Cox partial likelihood "
        f"({loss['ties'].capitalize()} ties, "
        f"{'exact risk sets' if loss['risk_set'] == 'full' else 'risk sets within batches'}) with "
        f"{training['optimiser']} (learning rate {training['learning_rate']:g}), at most {training['epochs']} epochs "
        f"and {stop}, {count(seeds, 'run')} a fold."
    )
    if balance["strategy"] != "none":
        place = _place(balance["apply_to"])
        text += f" Branches were balanced by the strategy {balance['strategy']}, applied to the {place}."
    if model["predictor"] == "ensemble":
        text += (
            " Test patients were predicted by the mean of this network and of those that left out one inner part each."
        )
    return text


def _compared(study: Study) -> str:
    """Say what else was fitted."""
    families: dict[str, list[str]] = {}
    for model, facts in study.catalogue.items():
        if model != study.headline:
            families.setdefault(facts["family"], []).append(study.name(model))
    parts = [f"{in_sentence(family)} ({', '.join(titles)})" for family, titles in families.items()]
    return f"Compared on the same patients and folds: {listed(parts, last='; ', other='; ')}." if parts else ""


def _data(modality: str) -> str:
    adapter = modality.removeprefix("genomics:")
    return (
        f"scGPT embeddings of expression (adapter {adapter})" if adapter != modality else DATA.get(modality, modality)
    )


def _place(apply_to: str) -> str:
    return {"lr": "learning rate of each branch", "update": "step of each branch", "grad": "gradient of each branch"}[
        apply_to
    ]


def limits(study: Study) -> list[str]:
    """Return what the report cannot say, with the numbers of this run where there are any."""
    found = [
        "Whether any of this holds elsewhere: no patient of another study was used. New hospitals, scanners and "
        "sequencing centres usually cost accuracy.",
        *_sites(study),
        *_overlap(study),
        *_resolution(study),
        *_exclusions(study),
        "What treatment would change: the models describe who died earlier under the care that these patients had.",
        "Why a patient is at risk: a high weight of a gene or an image region is an association, not a cause.",
        "What to do for a single patient: these are research results and not a medical device.",
    ]
    if study.in_sample_images:
        found.insert(1, IN_SAMPLE)
    return found


IN_SAMPLE = (
    "What the images are worth with clean inputs: the image values of training patients come from a network that was "
    "trained on them. Results of models with an image branch may be worse than they need to be."
)


def _sites(study: Study) -> list[str]:
    """Say how many test patients come from a hospital that also gave training patients."""
    sites = study.patients["site"]
    if sites.nunique() < 2:
        return []
    roles = study.splits.assign(site=sites.reindex(study.splits["patient_id"]).to_numpy())
    seen = roles[roles["role"] == "train"][["fold", "site"]].drop_duplicates().assign(seen=True)
    test = roles[roles["role"] == "test"].merge(seen, on=["fold", "site"], how="left")
    share = float(test["seen"].notna().mean())
    if share == 0:
        return [
            "How much easier patients of known hospitals are: no test patient shares a hospital with training "
            "patients here."
        ]
    return [
        f"How models do in a hospital that they do not know: {percent(share)} of test patients come from one of the "
        f"{sites.nunique()} sites that also gave training patients, so that habits of a site may pass for biology."
    ]


def _overlap(study: Study) -> list[str]:
    if study.methods["test_parts"] == "partition" or study.methods["folds"] < 2:
        return []
    return [
        f"Exact error rates: the {study.methods['folds']} test parts overlap, and the correction for that is an "
        "approximation."
    ]


def _resolution(study: Study) -> list[str]:
    clinical = study.reference("clinical")
    found = study.comparison(study.headline, clinical) if clinical else None
    if found is None or missing(found["minimum_detectable"]):
        return []
    return [
        f"Whether a difference to {CLINICAL} of less than about {number(found['minimum_detectable'])} exists: "
        f"{count(len(study.patients), 'patient')} and {count(study.patients['event'].sum(), 'death')} are too few to "
        "see it."
    ]


def _exclusions(study: Study) -> list[str]:
    first, last = study.flow["remaining"].iloc[0], len(study.patients)
    if first <= last:
        return []
    rule = study.cohort["missing"]
    reason = "mostly for lack of a kind of data" if rule == "drop" else "for the reasons in the patient flow"
    return [
        f"How the {count(first - last, 'patient')} of {first:,} who were excluded, {reason}, would have done; they may "
        "differ from those here."
    ]
