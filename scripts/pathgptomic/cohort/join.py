"""Join what a source delivers to one checked cohort at patient level, the same way for local tables and for the GDC."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pathgptomic.cohort.audit import check_covariates, check_overlap, check_time_unit, conclude, soften
from pathgptomic.cohort.flow import Flow
from pathgptomic.cohort.polarity import check_polarity
from pathgptomic.cohort.source import Finding, Source
from pathgptomic.cohort.tables import (
    MODALITIES,
    write_audit,
    write_expression,
    write_features,
    write_flow,
    write_patients,
    write_slides,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cohort:
    """A cohort at patient level: `patients` as `read_patients` gives it, its flow, its findings, and their source."""

    patients: pd.DataFrame
    flow: pd.DataFrame
    findings: tuple[Finding, ...]
    source: Source


def join(source: Source, settings: Mapping[str, Any], *, time_unit: str = "days") -> Cohort:
    """Check the labels, drop who cannot be used, and say who has what.

    Parameters
    ----------
    source
        The tables.
    settings
        The cohort file: `covariates`, `modalities`, `missing`, `splits.scheme`, `audit`.
    time_unit
        Unit in which the times were written, for the check of it.

    Raises
    ------
    ValueError
        One sentence for every finding that stops the run.
    """
    audit, findings = settings["audit"], list(source.findings)
    clinical, path = source.clinical, source.files["clinical"]
    flow = Flow(clinical["event"], "clinical table")
    findings.append(_drop_outcomes(flow, clinical, audit, path))
    known = clinical.loc[flow.patients]
    findings += check_covariates(clinical, settings["covariates"], path)
    if known.empty:
        findings.append(
            Finding("outcome", "stop", f"{path}: no patient has a usable outcome; check `time` and `event`.")
        )
    else:
        polarity = check_polarity(known, settings["covariates"], audit["adverse"], path)
        findings.append(soften(polarity, audit["event_polarity"]))
        findings.append(soften(check_time_unit(known, time_unit, path), audit["time_unit"]))
    for modality in MODALITIES[1:]:
        if source.patients_with(modality):
            findings.append(check_overlap(source, modality, audit["minimum_overlap"]))
    _drop_incomplete(flow, source, settings)
    if settings["splits"]["scheme"] == "published" and source.published is not None:
        placed = pd.Index(source.published["patient_id"].unique())
        flow.keep("splits", "in no fold of the published splits", placed)
    conclude(findings)
    if flow.patients.empty:
        rows = "; ".join(f"{row.reason}: {row.dropped}" for row in flow.table().itertuples())
        raise ValueError(f"{path}: no patient of the cohort is left ({rows}); check `modalities` and `missing`.")

    patients = clinical.loc[flow.patients].drop(columns="dead", errors="ignore")
    patients["event"] = patients["event"].astype(bool)
    for modality in MODALITIES:
        patients[f"has_{modality}"] = patients.index.isin(source.patients_with(modality))
    table = flow.table()
    for row in table.itertuples():
        logger.info("flow: %s, %s: %d dropped, %d remain", row.step, row.reason, row.dropped, row.remaining)
    return Cohort(patients.sort_index(), table, tuple(findings), source)


def write_cohort(cohort: Cohort, folder: str | Path) -> None:
    """Write the cohort's files into `folder`: patients, features, slides, flow and audit."""
    folder, source, ids = Path(folder), cohort.source, cohort.patients.index

    def of_cohort(table: pd.DataFrame, modality: str) -> pd.DataFrame:
        return table.loc[table.index.isin(ids) & table.index.isin(source.patients_with(modality))]

    expression = of_cohort(source.expression, "expression")
    write_expression(folder / "expression.h5ad", expression, source.scale, source.layers, source.genes)
    write_features(folder / "cnv.parquet", of_cohort(source.cnv, "cnv"))
    write_features(folder / "mutations.parquet", of_cohort(source.mutations, "mutations"))
    write_slides(folder / "slides.tsv", source.slides[source.slides["patient_id"].isin(ids)])
    write_flow(folder / "flow.tsv", cohort.flow)
    write_audit(folder / "audit.json", [finding.to_dict() for finding in cohort.findings])
    write_patients(folder / "patients.tsv", cohort.patients)


def _drop_outcomes(flow: Flow, clinical: pd.DataFrame, audit: Mapping[str, str], path: str) -> Finding:
    """Drop patients without a usable outcome, if that is allowed."""
    missing = clinical.index[clinical["time_days"].isna() | clinical["event"].isna()]
    short = clinical.index[clinical["time_days"] <= 0]
    stops = []
    for ids, key, words in (
        (missing, "missing_outcome", "no time or no event"),
        (short, "non_positive_time", "a time of zero or less"),
    ):
        flow.drop("outcome", words, ids)
        if len(ids) and audit[key] == "stop":
            stops.append(
                f"{path}: {len(ids)} patients have {words}, such as {ids[0]}; correct them or set `audit.{key}: drop`."
            )
    evidence = {"missing": len(missing), "not positive": len(short), "examples": [*missing[:5], *short[:5]]}
    if stops:
        return Finding("outcome", "stop", "\n".join(stops), evidence)
    detail = f"{len(missing)} patients without an outcome and {len(short)} with a time of zero or less were dropped."
    return Finding("outcome", "warn" if len(missing) or len(short) else "pass", detail, evidence)


def _drop_incomplete(flow: Flow, source: Source, settings: Mapping[str, Any]) -> None:
    """Drop who lacks one of the modalities, or all of them where missing ones are masked."""
    modalities = settings["modalities"]
    if settings["missing"] == "drop":
        for modality in modalities:
            flow.keep("modalities", f"no {modality}", pd.Index(sorted(source.patients_with(modality))))
    else:
        anything = frozenset().union(*(source.patients_with(modality) for modality in modalities))
        flow.keep("modalities", f"none of {', '.join(modalities)}", pd.Index(sorted(anything)))
