"""The step build_gdc_cohort: files of the GDC -> the same checked cohort that local tables end in."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pathgptomic.cohort.gdc.copynumber import read_copy_number_files
from pathgptomic.cohort.gdc.expression import read_expression_files
from pathgptomic.cohort.gdc.lock import read_cases
from pathgptomic.cohort.gdc.manifest import CLINICAL, read_manifest
from pathgptomic.cohort.gdc.outcome import covariates
from pathgptomic.cohort.gdc.query import Hit
from pathgptomic.cohort.gdc.samples import one_per_patient
from pathgptomic.cohort.gdc.variants import read_mutation_files
from pathgptomic.cohort.join import join, write_cohort
from pathgptomic.cohort.source import Finding, Source
from pathgptomic.files import atomic

logger = logging.getLogger(__name__)

MOLECULAR = ("expression", "cnv", "mutations")


def build_gdc_cohort(
    *,
    manifest: str,
    answers: str,
    folder: str,
    outcomes: str | None,
    positions: str | None,
    settings: Mapping[str, Any],
    out: str,
    replicates_out: str,
) -> None:
    """Read the fetched files of a cohort and write the checked cohort.

    Parameters
    ----------
    manifest, answers
        What lock_cohort wrote.
    folder
        Where the files are, as ``<uuid>/<file name>``.
    outcomes
        Table of outcomes with columns bcr_patient_barcode, PFI, PFI.time and the like, or None.
    positions
        Table of gene positions, or None.
    settings
        The cohort file with its defaults.
    out
        Folder of the cohort.
    replicates_out
        Table of the patients with several aliquots, and of the one that was taken.

    Raises
    ------
    ValueError
        One sentence a finding that stops the run, or for the first file that cannot be read.
    """
    source, replicates = read_source(
        read_manifest(manifest), read_cases(answers), Path(folder), settings, outcomes=outcomes, positions=positions
    )
    write_cohort(join(source, settings), out)
    with atomic(replicates_out) as path:
        replicates.to_csv(path, sep="\t", index=False, lineterminator="\n")


def read_source(
    rows: pd.DataFrame,
    cases: Sequence[Hit],
    folder: Path,
    settings: Mapping[str, Any],
    *,
    outcomes: str | None = None,
    positions: str | None = None,
) -> tuple[Source, pd.DataFrame]:
    """Read everything that a manifest names; return the source of a cohort and its replicates."""
    gdc = settings["gdc"]
    clinical, findings = clinical_table(rows, cases, settings)
    names = {"clinical": "the GDC's cases"}
    if outcomes:
        clinical = with_outcomes(clinical, outcomes, gdc["endpoint"])
        names["clinical"] = outcomes
    parts: dict[str, Any] = {}
    replicates = []
    for modality in MOLECULAR:
        files = rows[rows["modality"] == modality]
        if modality not in settings["modalities"] or files.empty:
            continue
        chosen, repeated = one_per_patient(files)
        replicates.append(repeated.assign(modality=modality))
        paths = {case: str(folder / row["uuid"] / row["file_name"]) for case, row in chosen.iterrows()}
        parts |= _read(modality, paths, gdc, positions)
        names[modality] = f"the GDC's {gdc[modality]['workflow'] or modality} files"
    if "slides" in settings["modalities"]:
        parts["slides"] = slide_table(rows, folder, gdc["slides"]["choose"])
        parts["with_slides"] = frozenset(parts["slides"]["patient_id"])
        names["slides"] = "the GDC's diagnostic slides"
    repeated = pd.concat(replicates) if replicates else pd.DataFrame(columns=["case", "aliquot", "uuid", "chosen"])
    findings.append(_replicate_finding(repeated))
    return Source(clinical=clinical, files=names, findings=tuple(findings), **parts), repeated


def _read(modality: str, paths: Mapping[str, str], gdc: Mapping[str, Any], positions: str | None) -> dict[str, Any]:
    """Return the arguments of `Source` that a modality gives."""
    chosen = gdc[modality]
    if modality == "expression":
        read = read_expression_files(paths, column=chosen["column"], gene_types=chosen["gene_types"])
        logger.info("expression: %d genes, %d with a repeated symbol left out", read.values.shape[1], read.repeated)
        return {"expression": read.values, "layers": {"counts": read.counts}, "genes": read.genes}
    if modality == "cnv":
        table = read_copy_number_files(
            paths,
            data_type=chosen["data_type"],
            level=chosen["level"],
            genes=chosen["genes"],
            positions=positions,
        )
        return {"cnv": table}
    return {"mutations": read_mutation_files(paths, classes=chosen["classes"], genes=chosen["genes"])}


def clinical_table(
    rows: pd.DataFrame, cases: Sequence[Hit], settings: Mapping[str, Any]
) -> tuple[pd.DataFrame, list[Finding]]:
    """Return the clinical table of a source (see `Source.clinical`): outcome as locked, covariates as answered.

    Patients whose vital status is neither Alive nor Dead have no event; the finding counts them.
    """
    locked = rows[rows["modality"] == CLINICAL].set_index("case")
    status = locked["vital_status"]
    known = status.isin(["Alive", "Dead"])
    clinical = pd.DataFrame(
        {
            "time_days": pd.to_numeric(locked["time_days"]).astype(float),
            "event": (status == "Dead").astype("boolean").mask(~known),
        }
    ).rename_axis("patient_id")
    said = {case["submitter_id"]: covariates(case) for case in cases}
    told = pd.DataFrame.from_dict(said, orient="index").reindex(clinical.index)
    for name, by_project in settings["gdc"]["fill"].items():
        told[name] = told[name].fillna(told["project"].map(by_project))
    findings = []
    for name, kind in settings["covariates"].items():
        clinical[name] = told[name].replace({None: np.nan})
        if isinstance(kind, Mapping):
            clinical[name], found = _within(clinical[name], kind["ordinal"])
            findings += found
    first, last = settings["site"]["barcode"] or (6, 7)
    clinical["site"] = clinical.index.str.slice(first - 1, last)
    stratum = settings["stratum"]
    clinical["stratum"] = told[stratum].fillna("") if stratum else ""
    others = sorted(set(status[~known]))
    evidence = {"cases": len(status), "neither alive nor dead": int((~known).sum()), "their words": others}
    detail = f"{int((~known).sum())} of {len(status)} cases are stated neither alive nor dead."
    return clinical, [Finding("vital status", "pass" if known.all() else "warn", detail, evidence), *findings]


def _within(values: pd.Series, levels: Sequence[str]) -> tuple[pd.Series, list[Finding]]:
    """Take what the GDC says beside the levels of the cohort file for missing, and say so."""
    beside = values[values.notna() & ~values.isin(levels)]
    if beside.empty:
        return values, []
    counts = {str(value): int(number) for value, number in beside.value_counts().items()}
    detail = f"{values.name}: {len(beside)} patients have values that are none of its levels, and count as missing."
    return values.where(values.isin(levels)), [Finding(f"levels: {values.name}", "warn", detail, counts)]


def with_outcomes(clinical: pd.DataFrame, path: str, endpoint: str) -> pd.DataFrame:
    """Replace the outcome by that of a table in the form of the TCGA clinical data resource.

    The table has a column ``bcr_patient_barcode``, and ``<endpoint>`` (1 = event) and ``<endpoint>.time`` (days) for
    endpoints such as OS, DSS and PFI. Patients that it does not know lose their outcome.
    """
    table = pd.read_csv(path, sep=None, engine="python")
    for column in ("bcr_patient_barcode", endpoint, f"{endpoint}.time"):
        if column not in table:
            raise ValueError(f"{path} has no column {column!r}; correct gdc.endpoint or gdc.outcomes.")
    table = table.drop_duplicates("bcr_patient_barcode").set_index("bcr_patient_barcode").reindex(clinical.index)
    event = pd.to_numeric(table[endpoint], errors="coerce")
    time = pd.to_numeric(table[f"{endpoint}.time"], errors="coerce")
    return clinical.assign(time_days=time.astype(float), event=(event == 1).astype("boolean").mask(event.isna()))


def slide_table(rows: pd.DataFrame, folder: Path, choose: str) -> pd.DataFrame:
    """Return `patient_id`, `slide_id`, `path` of the diagnostic slides: ``all`` of a patient, or the ``first``."""
    slides = rows[rows["modality"] == "slides"]
    slides = slides[slides["file_name"].str.contains("-DX")].sort_values(["case", "file_name"])
    if choose == "first":
        slides = slides.drop_duplicates("case")
    return pd.DataFrame(
        {
            "patient_id": slides["case"],
            "slide_id": slides["file_name"].str.rsplit(".", n=1).str[0],
            "path": [str(folder / uuid / name) for uuid, name in zip(slides["uuid"], slides["file_name"], strict=True)],
        }
    ).reset_index(drop=True)


def _replicate_finding(repeated: pd.DataFrame) -> Finding:
    """Say who had several aliquots."""
    patients = sorted(set(repeated["case"]))
    evidence = {"patients": len(patients), "files": len(repeated), "examples": patients[:5]}
    detail = (
        f"{len(patients)} patients have several files of a kind; the first vial, then portion, then the latest plate "
        "counts (replicates.tsv)."
        if patients
        else "Every patient has one file of a kind."
    )
    return Finding("replicates", "pass", detail, evidence)
