"""Whether balanced training did what it claims: the balanced model beside its unbalanced twin, fold by fold."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pathgptomic.report.balance_view import LEARNT, UNSEEN
from pathgptomic.report.catalogue import PAPER
from pathgptomic.report.grids import Column, Grid, Row, difference, judgement, value, words
from pathgptomic.report.statistics import Estimate, corrected_t, holm, verdict
from pathgptomic.report.study import Study
from pathgptomic.report.wording import in_sentence, interval, number, p_value, signed

READING = (
    "In the curves, ρ says how far a branch is ahead of the others in explaining who dies first (1 = level); "
    "balancing shortens the training steps of the branch that is ahead by the factor below. Without balance the "
    "factor stays at 1. A branch whose solid line runs far above its dashed line learns its training patients by "
    "heart."
)
STRATEGIES = {
    "none": "no balance",
    "path-gptomic": "balance of the paper",
    "ogm": "OGM",
    "ogm-ge": "OGM-GE",
    "auxiliary": "auxiliary losses",
    "mmpareto": "MMPareto",
    "agm": "AGM",
    "random": "control: random factors",
    "reversed": "control: wrong side",
}
IN_SAMPLE = (
    " Its inputs were made by a network that knew all training patients, so that even the left-out values are too high."
)
GAP_WORDS = {"better": "smaller", "worse": "larger"}


@dataclass(frozen=True)
class Contrast:
    """One model against its unbalanced twin, paired over the folds: C-index on test patients, and fitted − test gap."""

    model: str
    twin: str
    test: Estimate
    gap: Estimate


@dataclass(frozen=True)
class BalanceText:
    """`verdict`: one sentence; `paragraphs`: the numbers behind it."""

    verdict: str
    paragraphs: list[str]


def contrasts(study: Study) -> list[Contrast]:
    """Return every model that has an unbalanced twin, in the order of the report."""
    ratio = study.methods["test_to_train_ratio"]
    settings = study.methods["settings"]
    level = {"alpha": settings["alpha"], "power": settings["power"]}
    found = []
    for model, facts in study.catalogue.items():
        twin = facts["unbalanced"]
        if twin in study.catalogue:
            changes = [
                corrected_t(study.fold_values(model, metric) - study.fold_values(twin, metric), ratio, **level)
                for metric in ("harrell_c", "optimism")
            ]
            found.append(Contrast(model, twin, *changes))
    return found


def balance_text(study: Study, found: list[Contrast]) -> BalanceText | None:
    """Return what to say about the paper's balance, None where no model pair can show it."""
    chosen = next((each for each in found if study.catalogue[each.model]["strategy"] == PAPER), None)
    if chosen is None:
        return None
    alpha = study.methods["settings"]["alpha"]
    gap = verdict(chosen.gap.value, chosen.gap.p, alpha=alpha, larger_is_better=False)
    test = verdict(chosen.test.value, chosen.test.p, alpha=alpha)
    single = best_single(study, chosen.model)
    paragraphs = [_numbers(study, chosen, gap, test), *_branches(study, chosen), *_single(study, chosen.model, single)]
    twins = [study.summary.loc[name] for name in (chosen.twin, chosen.model)]
    numbers = [f"{number(twins[0][key])} without, {number(twins[1][key])} with" for key in ("optimism", "c_mean")]
    held_back = bool(single) and study.summary.loc[single, "c_mean"] > study.summary.loc[chosen.model, "c_mean"]
    return BalanceText(balance_verdict(gap, test, *numbers, held_back=held_back), [*paragraphs, READING])


def balance_grid(study: Study, found: list[Contrast]) -> Grid:
    """Return the table of all ways to balance beside the same network without balance."""
    adjusted = holm(np.array([each.test.p for each in found]))
    alpha = study.methods["settings"]["alpha"]
    rows = []
    for pair, p in zip(found, adjusted, strict=True):
        means = [np.nanmean(study.fold_values(pair.model, metric)) for metric in ("harrell_c_train", "harrell_c")]
        rows.append(
            Row(
                [
                    words(study.name(pair.model)),
                    words(
                        STRATEGIES.get(study.catalogue[pair.model]["strategy"], study.catalogue[pair.model]["strategy"])
                    ),
                    *(value(mean) for mean in means),
                    value(means[0] - means[1]),
                    difference(pair.gap.value, pair.gap.ci_low, pair.gap.ci_high),
                    difference(pair.test.value, pair.test.ci_low, pair.test.ci_high),
                    judgement(verdict(pair.test.value, p, alpha=alpha), p),
                ],
                tone="main" if study.catalogue[pair.model]["strategy"] == PAPER else "",
            )
        )
    columns = [
        Column("Model", numeric=False),
        Column("Balance", numeric=False),
        Column("C fitted on", help="C-index on the patients that the model was fitted on"),
        Column("C test", help="C-index on test patients"),
        Column("Gap"),
        Column("Change of the gap", help="against the same network without balance"),
        Column("Change of C test", help="against the same network without balance"),
        Column("Verdict on C test (adj. p)", numeric=False, help="Holm-adjusted over the rows of this table"),
    ]
    note = (
        f"Each model beside the same network without balance, paired over the folds, {study.level} intervals by the "
        "corrected resampled t-test. The two controls show what a mere change of step lengths does."
    )
    return Grid("Ways to balance, each against the same network without balance", columns, rows, note, stacked=True)


def best_single(study: Study, model: str) -> str:
    """Return the best network on one of the kinds of data that `model` joins, empty where there is none."""
    branches = set(study.catalogue[model]["branches"])
    single = [
        name
        for name, facts in study.catalogue.items()
        if facts["trained"] and len(facts["branches"]) == 1 and set(facts["branches"]) <= branches
    ]
    return max(single, key=lambda name: study.summary.loc[name, "c_mean"], default="")


def balance_verdict(gap: str, test: str, gaps: str, tests: str, *, held_back: bool = False) -> str:
    """Say it in one sentence.

    Parameters
    ----------
    gap, test
        Verdicts on the fitted − test gap (better = smaller) and on the C-index of test patients.
    gaps, tests
        The numbers behind each, in words.
    held_back
        Whether a network on one kind of data alone still ranks test patients better than the balanced one.
    """
    if "not tested" in (gap, test):
        return "One fold cannot tell whether balancing cured anything: there is no variance over folds."
    shrank = {
        "better": "Balancing narrowed the gap between seen and unseen patients",
        "worse": "Balancing widened the gap between seen and unseen patients",
        "not distinguishable": "Balancing did not measurably change the gap between seen and unseen patients",
    }[gap]
    ranked = {
        "better": "it improved the ranking of test patients",
        "worse": "it made the ranking of test patients worse",
        "not distinguishable": "it did not measurably change the ranking of test patients",
    }[test]
    helped = "It helped, and did not cure it" if held_back else "It helped"
    starts = {("better", "better"): helped, ("better", "not distinguishable"): "In training only"}
    start = "Not as claimed" if gap != "better" and test == "better" else starts.get((gap, test), "No")
    link = "and" if (gap == "better") == (test == "better") else "but"
    return f"{start}. {shrank} ({gaps}), {link} {ranked} (C-index {tests})."


def _numbers(study: Study, pair: Contrast, gap: str, test: str) -> str:
    c = [number(study.summary.loc[name, "c_mean"]) for name in (pair.model, pair.twin)]
    gaps = [number(study.summary.loc[name, "optimism"]) for name in (pair.model, pair.twin)]
    return (
        f"{study.name(pair.model)} against {study.name(pair.twin)}, the same network without balance: C-index on test "
        f"patients {c[0]} and {c[1]} ({_estimate(study, pair.test)}: {test}); gap between the patients a model was "
        f"fitted on and test patients {gaps[0]} and {gaps[1]} ({_estimate(study, pair.gap)}: "
        f"{GAP_WORDS.get(gap, gap)})."
    )


def _branches(study: Study, pair: Contrast) -> list[str]:
    """Say how well the image branch alone ranked its own training patients, and patients left out, with and without."""
    branches = set(study.balance.loc[study.balance["model"] == pair.model, "branch"])
    image = next((each for each in ("slides", "rois") if each in branches), "")
    ends = {model: branch_ends(study.balance, model, image) for model in (pair.model, pair.twin)}
    if any(learnt is None for learnt, _ in ends.values()):
        return []
    (learnt, unseen), (learnt_twin, unseen_twin) = ends[pair.model], ends[pair.twin]
    sentence = (
        f"The image branch alone reached a C-index of {number(learnt_twin)} on its own training patients without "
        f"balance and {number(learnt)} with it"
    )
    if unseen is not None and unseen_twin is not None:
        sentence += f"; on training patients left out of the fit {number(unseen_twin)} and {number(unseen)}"
    return [f"{sentence}.{IN_SAMPLE if study.in_sample_images else ''}"]


def _single(study: Study, model: str, single: str) -> list[str]:
    """Hold the balanced network against the best one that sees one kind of data alone."""
    if not single:
        return []
    settings = study.methods["settings"]
    change = study.fold_values(model, "harrell_c") - study.fold_values(single, "harrell_c")
    estimate = corrected_t(change, study.methods["test_to_train_ratio"], alpha=settings["alpha"])
    c = number(study.summary.loc[single, "c_mean"])
    said = verdict(estimate.value, estimate.p, alpha=settings["alpha"])
    moral = (
        " The kinds of data together are no better than the best of them: one branch still holds the others back."
        if estimate.value < 0
        else ""
    )
    return [
        f"The best network on one kind of data alone, {in_sentence(study.name(single))}, reached {c} on the same test "
        f"patients ({study.name(model)} against it: {_estimate(study, estimate)}: {said}).{moral}"
    ]


def branch_ends(balance: pd.DataFrame, model: str, branch: str) -> tuple[float | None, float | None]:
    """Return a branch's C-index on fitted and on left-out patients in the last epoch that half of the fits reached."""
    rows = balance[(balance["model"] == model) & (balance["branch"] == branch)]
    ends = []
    for quantity in (LEARNT, UNSEEN):
        curve = rows[rows["quantity"] == quantity].sort_values("epoch")
        curve = curve[curve["n"] >= curve["n"].max() / 2]
        ends.append(float(curve["mean"].iloc[-1]) if len(curve) else None)
    return ends[0], ends[1]


def _estimate(study: Study, estimate: Estimate) -> str:
    text = f"difference {signed(estimate.value)}"
    if np.isfinite(estimate.ci_low):
        text += f", {study.level} CI {interval(estimate.ci_low, estimate.ci_high, sign=True)}, {p_value(estimate.p)}"
    return text
