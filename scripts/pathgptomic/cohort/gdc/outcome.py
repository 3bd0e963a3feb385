"""Vital status, follow-up and covariates of a GDC case, by the names that they have and by those that they had."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pathgptomic.cohort.gdc.mirror import values

UNSAID = frozenset(
    {"", "'--", "--", "not reported", "unknown", "not applicable", "not allowed to collect", "[unknown]"}
)
FOLLOW_UP = (
    "diagnoses.days_to_last_follow_up",
    "diagnoses.days_to_last_known_disease_status",
    "follow_ups.days_to_follow_up",
)
STAGES = ("ajcc_pathologic_stage", "figo_stage", "ajcc_clinical_stage")
GRADES = ("tumor_grade", "who_cns_grade")


def outcome(case: Mapping[str, Any]) -> tuple[str, float | None]:
    """Return the vital status in the GDC's words and the overall survival time in days.

    The time is that of death for the dead, and the latest follow-up of all sources for the living; None where it is not
    known, or where the vital status is neither ``Alive`` nor ``Dead``.
    """
    status = str(next(iter(values(case, "demographic.vital_status")), "")).capitalize()
    if status == "Dead":
        return status, _number(_first(values(case, "demographic.days_to_death")))
    if status == "Alive":
        known = [_number(value) for name in FOLLOW_UP for value in values(case, name)]
        return status, max((days for days in known if days is not None), default=None)
    return status, None


def covariates(case: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the covariates of a case as text, None where nobody said.

    Age is in years. Stages lose their sub-stage (``Stage IIIA`` is ``III``), ``Grade III`` is ``G3``; a grade or stage
    that says that it could not be assessed (``GX``, ``Stage X``) is missing.
    """
    diagnosis = primary_diagnosis(case)
    return {
        "age": _age(case, diagnosis),
        "sex": _first([*values(case, "demographic.sex_at_birth"), *values(case, "demographic.gender")]),
        "stage": _first(_stage(diagnosis.get(name)) for name in STAGES),
        "grade": _first(_grade(diagnosis.get(name)) for name in GRADES),
        "histology": _first([diagnosis.get("primary_diagnosis")]),
        "race": _first(values(case, "demographic.race")),
        "project": _first(values(case, "project.project_id")),
    }


def primary_diagnosis(case: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the diagnosis that the case is about: the one that says so, else the first that is no other's."""
    diagnoses = case.get("diagnoses") or [{}]
    for diagnosis in diagnoses:
        if str(diagnosis.get("diagnosis_is_primary_disease", "")).lower() == "true":
            return diagnosis
    for diagnosis in diagnoses:
        if str(diagnosis.get("classification_of_tumor", "")).lower() == "primary":
            return diagnosis
    # an earlier or later tumour of the patient is never meant
    others = [d for d in diagnoses if str(d.get("diagnosis_is_primary_disease", "")).lower() != "false"]
    return others[0] if others else {}


def _age(case: Mapping[str, Any], diagnosis: Mapping[str, Any]) -> str | None:
    years = _number(_first(values(case, "demographic.age_at_index")))
    days = _number(_first([diagnosis.get("age_at_diagnosis")]))
    # days first: they are finer; patients over 89 have neither or a bound
    if days is not None:
        return f"{days / 365.25:.2f}"
    return None if years is None else f"{years:g}"


def _stage(value: Any) -> str | None:
    found = re.match(r"(?:STAGE )?(0|IV|III|II|I)(?![IVX])", str(value or "").upper())
    return found.group(1) if found else None


def _grade(value: Any) -> str | None:
    roman = {"Grade I": "G1", "Grade II": "G2", "Grade III": "G3", "Grade IV": "G4"}
    return None if value in {"GX", "GB", "Grade Not Assigned"} else roman.get(value, value)


def _first(found: Iterable[Any]) -> Any:
    """Return the first value that says something."""
    return next((v for v in found if v is not None and str(v).strip().lower() not in UNSAID), None)


def _number(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except ValueError:
        return None
