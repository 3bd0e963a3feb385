"""Checks of the labels and of the joins: each ends in a finding with its evidence, and some findings stop the run."""

import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from pathgptomic.cohort.clinical import DAYS
from pathgptomic.cohort.source import Finding, Source

logger = logging.getLogger(__name__)

# Nobody is followed for 80 years after a diagnosis of cancer, nor grows older than 120; a cohort whose longest
# follow-up is under a year cannot tell good from poor survival, and is what months read as days look like.
LONGEST_YEARS, OLDEST_YEARS, SHORTEST_YEARS = 80.0, 120.0, 1.0


def conclude(findings: Iterable[Finding]) -> None:
    """Log every finding, and stop the run with the sentences of those that stop it.

    Raises
    ------
    ValueError
        One line a finding whose status is ``stop``.
    """
    findings = list(findings)
    for finding in findings:
        level = logging.INFO if finding.status == "pass" else logging.WARNING
        logger.log(level, "%s: %s: %s %s", finding.check, finding.status, finding.detail, json.dumps(finding.evidence))
    stops = [finding.detail for finding in findings if finding.status == "stop"]
    if stops:
        raise ValueError("\n".join(stops))


def soften(finding: Finding, policy: str) -> Finding:
    """Turn a stop into a warning where the cohort file asks for that."""
    if finding.status == "stop" and policy == "warn":
        return Finding(finding.check, "warn", finding.detail, finding.evidence)
    return finding


def check_time_unit(clinical: pd.DataFrame, unit: str, path: str) -> Finding:
    """Hold the times against what is possible.

    Decided by the longest follow-up alone (above 80 years, or an age above 120 at its end; under one year), which tells
    days from months or years both ways. Units close to one another (weeks for days, years for months) may stay within
    what is possible and are not found then; the evidence lists the longest follow-up in every unit, for a look by eye.
    """
    time = clinical["time_days"].to_numpy(float)
    written = time / DAYS[unit]
    longest = float(time.max())
    evidence: dict[str, Any] = {
        "stated unit": unit,
        "median days": round(float(np.median(time)), 1),
        "longest days": round(longest, 1),
        "longest in years, by unit": {
            name: round(float(written.max()) * days / 365.25, 1) for name, days in DAYS.items()
        },
        "share of whole numbers as written": round(float(np.mean(np.isclose(written, np.round(written)))), 3),
    }
    fitting = [
        name for name, years in evidence["longest in years, by unit"].items() if name != unit and 1 <= years <= 40
    ]
    advice = f"as {' or '.join(fitting)} it would be possible" if fitting else "no other unit fits either"
    said = f"times in {unit} make the longest follow-up {longest / 365.25:.3g} years"
    if "age" in clinical:
        oldest = float((pd.to_numeric(clinical["age"], errors="coerce") + time / 365.25).max())
        evidence["oldest age at last contact"] = round(oldest, 1) if np.isfinite(oldest) else None
        if oldest > OLDEST_YEARS and longest / 365.25 <= LONGEST_YEARS:
            detail = f"{path}: times in {unit} make a patient {oldest:.0f} years old; check `time` and `age_unit`."
            return Finding("time unit", "stop", detail, evidence)
    if longest / 365.25 > LONGEST_YEARS or longest / 365.25 < SHORTEST_YEARS:
        return Finding("time unit", "stop", f"{path}: {said}; {advice}: correct `time.unit`.", evidence)
    return Finding("time unit", "pass", f"{said.capitalize()}.", evidence)


def check_covariates(clinical: pd.DataFrame, covariates: Mapping[str, Any], path: str) -> list[Finding]:
    """Find values that their kind does not allow, and say how many are missing."""
    findings = []
    for name, kind in covariates.items():
        values = clinical[name].dropna()
        if kind == "numeric":
            wrong = values[pd.to_numeric(values, errors="coerce").isna()]
            fix = "correct it, add it to `missing`, or call the covariate nominal"
        elif kind == "nominal":
            wrong, fix = values.iloc[:0], ""
        else:
            wrong = values[~values.isin(kind["ordinal"])]
            fix = "add the level in its place, rewrite it in `values`, or add it to `missing`"
        evidence = {"missing": int(clinical[name].isna().sum()), "levels": int(values.nunique())}
        check = f"covariate: {name}"
        if len(wrong):
            detail = f"{path}: covariate {name} holds {wrong.iloc[0]!r} for patient {wrong.index[0]}; {fix}."
            findings.append(Finding(check, "stop", detail, {**evidence, "examples": sorted(set(wrong))[:5]}))
        elif values.empty:
            findings.append(
                Finding(check, "stop", f"{path}: covariate {name} has no value at all; leave it out.", evidence)
            )
        else:
            detail = f"{name}: {evidence['missing']} of {len(clinical)} patients have no value."
            findings.append(Finding(check, "pass", detail, evidence))
    return findings


def check_overlap(source: Source, modality: str, minimum: float) -> Finding:
    """Compare the patient ids of a table with those of the clinical table."""
    check = f"join: {modality}"
    clinical, ids = set(source.clinical.index), set(source.patients_with(modality))
    path, shared = source.files[modality], len(clinical & ids)
    share = shared / max(1, min(len(clinical), len(ids)))
    only_here, only_there = sorted(ids - clinical), sorted(clinical - ids)
    evidence = {
        "in the table": len(ids),
        "in the clinical table": len(clinical),
        "in both": shared,
        "examples of the table alone": only_here[:5],
        "examples of the clinical table alone": only_there[:5],
    }
    detail = f"{path}: {shared} of its {len(ids)} patients are among the {len(clinical)} of the clinical table"
    if share >= minimum and share > 0:
        status = "pass" if len(only_here) <= 0.1 * len(ids) else "warn"
        return Finding(check, status, f"{detail}.", evidence)
    examples = f"here {', '.join(only_here[:2]) or 'none'}, there {', '.join(only_there[:2]) or 'none'}"
    return Finding(check, "stop", f"{detail} ({examples}); {_suggest(only_here, clinical)}.", evidence)


def _suggest(ids: list[str], known: set[str]) -> str:
    """Say which rule for ids would have joined more of them."""
    lengths = sorted({len(patient) for patient in known})
    rules = {
        'set `id: {replace: {".": "-"}}`': lambda text: text.replace(".", "-"),
        'set `id: {replace: {"_": "-"}}`': lambda text: text.replace("_", "-"),
        **{f"set `id: {{characters: {n}}}`": lambda text, n=n: text[:n] for n in lengths},
        "the ids differ in upper and lower case": str.upper,
    }
    upper = {patient.upper() for patient in known}
    hits = {
        fix: sum(rule(patient) in (upper if rule is str.upper else known) for patient in ids)
        for fix, rule in rules.items()
    }
    best = max(hits, key=lambda fix: hits[fix])
    return f"{best} (that joins {hits[best]} more)" if hits[best] else "correct `patient` or `id` of the table"
