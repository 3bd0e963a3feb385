"""Which samples are the primary tumour, and which of several aliquots stands for a patient."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

PRIMARY_TYPES = ("Primary Tumor", "Primary Blood Derived Cancer - Peripheral Blood")
# analytes in the order of preference: total RNA before other RNA; native DNA before amplified
ANALYTES = "RTHDWGX"


def is_primary(sample: Mapping[str, Any]) -> bool:
    """Return whether a sample is a primary tumour, by the fields of today or, where they are absent, of before."""
    if sample.get("tissue_type") and sample.get("tumor_descriptor"):
        return sample["tissue_type"] == "Tumor" and sample["tumor_descriptor"] == "Primary"
    if sample.get("sample_type"):
        return sample["sample_type"] in PRIMARY_TYPES
    return sample.get("submitter_id", "")[13:15] in {"01", "03"}


def aliquots_of(sample: Mapping[str, Any]) -> list[str]:
    """Return the barcodes of a sample's aliquots."""
    return [
        aliquot["submitter_id"]
        for portion in sample.get("portions", [])
        for analyte in portion.get("analytes", [])
        for aliquot in analyte.get("aliquots", [])
    ]


def preference(aliquot: str) -> tuple[str, str, int, int, str]:
    """Return the sort key of a TCGA aliquot: the smallest stands for the patient.

    ``TCGA-02-0001-01C-01D-0182-01``: the first vial (C), then the first portion (01), then the analyte (D; total RNA
    before other RNA, native DNA before amplified), then the latest plate (0182), then the text.
    """
    parts = aliquot.split("-")
    if len(parts) < 6 or not parts[5].isalnum():
        return ("", "", 0, 0, aliquot)
    vial, portion, analyte = parts[3][2:], parts[4][:2], parts[4][2:3]
    rank = ANALYTES.find(analyte) if analyte in ANALYTES else len(ANALYTES)
    return (vial, portion, rank, -int(parts[5], 36), aliquot)


def one_per_patient(files: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Choose the file of one aliquot for each patient.

    Parameters
    ----------
    files
        Rows of a manifest of one modality: `case`, `aliquot`, `uuid`, ...

    Returns
    -------
    chosen : DataFrame, index `case`
        One row a patient.
    replicates : DataFrame
        `case`, `aliquot`, `uuid`, `chosen` (True or False) of the patients with several files.
    """
    keys = [(*preference(aliquot), uuid) for aliquot, uuid in zip(files["aliquot"], files["uuid"], strict=True)]
    order = sorted(range(len(files)), key=lambda i: (files["case"].iloc[i], keys[i]))
    ordered = files.iloc[order]
    first = ~ordered["case"].duplicated()
    several = ordered["case"].duplicated(keep=False)
    replicates = ordered.loc[several, ["case", "aliquot", "uuid"]].assign(chosen=first[several])
    return ordered[first].set_index("case"), replicates.reset_index(drop=True)
