"""Cases and files as the GDC's answers describe them."""

import uuid
from typing import Any

import pandas as pd

PROJECT = "SIMU"
KINDS = {
    "expression": ("Transcriptome Profiling", "Gene Expression Quantification", "TSV", "RNA-Seq", "STAR - Counts"),
    "cnv": ("Copy Number Variation", "Gene Level Copy Number", "TSV", "Genotyping Array", "ASCAT3"),
    "mutations": (
        "Simple Nucleotide Variation",
        "Masked Somatic Mutation",
        "MAF",
        "WXS",
        "Aliquot Ensemble Somatic Variant Merging and Masking",
    ),
    "slides": ("Biospecimen", "Slide Image", "SVS", "Diagnostic Slide", None),
    "frozen": ("Biospecimen", "Slide Image", "SVS", "Tissue Slide", None),
}
SAMPLES = {
    "01": ("Primary Tumor", "Tumor", "Primary"),
    "11": ("Solid Tissue Normal", "Normal", "Not Applicable"),
    "10": ("Blood Derived Normal", "Normal", "Not Applicable"),
}


def name_uuid(seed: int, *parts: object) -> str:
    """Return the identifier of something, the same in every run."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(map(str, ["simulated", seed, *parts]))))


def case_hit(patient_id: str, patient: pd.Series, seed: int, number: int) -> dict[str, Any]:
    """Return a case; every second one has its follow-up where another data release put it, and names sex as of old."""
    old = number % 2 == 0
    dead = bool(patient["event"])
    time = int(patient["time_days"])
    diagnosis = {
        "age_at_diagnosis": round(365.25 * float(patient["age"])),
        "tumor_grade": patient["grade"],
        "primary_diagnosis": "Glioma, malignant",
        "diagnosis_is_primary_disease": "true",
        "classification_of_tumor": "primary",
    }
    follow_ups = [{"days_to_follow_up": max(time // 2, 1)}]
    if not dead and old:
        diagnosis["days_to_last_follow_up"] = time
    elif not dead:
        follow_ups.append({"days_to_follow_up": time})
    demographic = {"vital_status": "Dead" if dead else "Alive", "gender" if old else "sex_at_birth": patient["sex"]}
    if dead:
        demographic["days_to_death"] = time
    return {
        "case_id": name_uuid(seed, "case", patient_id),
        "submitter_id": patient_id,
        "project": {"project_id": PROJECT},
        "demographic": demographic,
        "diagnoses": [diagnosis],
        "follow_ups": follow_ups,
    }


def lost_case(patient_id: str, seed: int) -> dict[str, Any]:
    """Return a case of whom nobody knows whether it lives."""
    return {
        "case_id": name_uuid(seed, "case", patient_id),
        "submitter_id": patient_id,
        "project": {"project_id": PROJECT},
        "demographic": {"vital_status": "Not Reported"},
        "diagnoses": [{"diagnosis_is_primary_disease": "true"}],
    }


def file_hit(
    kind: str, patient_id: str, *, uuid: str, name: str, md5: str, size: int, seed: int, aliquots: tuple[str, ...]
) -> dict[str, Any]:
    """Return a file of a case; `aliquots` are those that it was made of (of slides: the slide's own barcode)."""
    category, data_type, data_format, strategy, workflow = KINDS[kind]
    samples: dict[str, dict[str, Any]] = {}
    for aliquot in aliquots:
        sample_type, tissue, descriptor = SAMPLES[aliquot[13:15]]
        sample = samples.setdefault(
            aliquot[:16],
            {
                "submitter_id": aliquot[:16],
                "sample_type": sample_type,
                "tissue_type": tissue,
                "tumor_descriptor": descriptor,
                "portions": [],
            },
        )
        is_slide = kind in {"slides", "frozen"}
        below = (
            {"slides": [{"submitter_id": aliquot}]}
            if is_slide
            else {"analytes": [{"aliquots": [{"submitter_id": aliquot}]}]}
        )
        sample["portions"].append(below)
    hit = {
        "file_id": uuid,
        "file_name": name,
        "md5sum": md5,
        "file_size": size,
        "state": "released",
        "access": "open",
        "data_category": category,
        "data_type": data_type,
        "data_format": data_format,
        "experimental_strategy": strategy,
        "cases": [
            {
                "case_id": name_uuid(seed, "case", patient_id),
                "submitter_id": patient_id,
                "project": {"project_id": PROJECT},
                "samples": list(samples.values()),
            }
        ],
    }
    return hit | ({"analysis": {"workflow_type": workflow}} if workflow else {})
