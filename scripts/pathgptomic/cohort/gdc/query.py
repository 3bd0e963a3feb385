"""What is asked of the GDC: which files and cases make a cohort, and which of their fields."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tqdm import tqdm

logger = logging.getLogger(__name__)

Filter = dict[str, Any]
Hit = dict[str, Any]
Ask = Callable[[str, Mapping[str, Any] | None], dict[str, Any]]

PAGE = 1000  # hits an answer
# What tells the files of a modality from others; the cohort file adds the workflow and, for cnv, the data type.
DATA = {
    "expression": {"data_type": "Gene Expression Quantification", "experimental_strategy": "RNA-Seq"},
    "cnv": {},
    "mutations": {"data_type": "Masked Somatic Mutation", "data_format": "MAF"},
    # not by sample: some diagnostic slides hang on a portion alone
    "slides": {"data_type": "Slide Image", "experimental_strategy": "Diagnostic Slide", "data_format": "SVS"},
}
FILE_FIELDS = (
    "file_id", "file_name", "md5sum", "file_size", "state", "access", "data_category", "data_type", "data_format",
    "experimental_strategy", "analysis.workflow_type", "cases.case_id", "cases.submitter_id",
    "cases.project.project_id", "cases.samples.submitter_id", "cases.samples.sample_type", "cases.samples.tissue_type",
    "cases.samples.tumor_descriptor", "cases.samples.portions.analytes.aliquots.submitter_id",
    "cases.samples.portions.slides.submitter_id",
)  # fmt: skip
# Old and new names and places of the same facts: the GDC renames and moves fields between releases.
CASE_FIELDS = (
    "case_id", "submitter_id", "project.project_id", "demographic.vital_status", "demographic.days_to_death",
    "demographic.sex_at_birth", "demographic.gender", "demographic.age_at_index", "demographic.race",
    "diagnoses.days_to_last_follow_up", "diagnoses.days_to_last_known_disease_status", "diagnoses.age_at_diagnosis",
    "diagnoses.tumor_grade", "diagnoses.who_cns_grade", "diagnoses.ajcc_pathologic_stage",
    "diagnoses.ajcc_clinical_stage", "diagnoses.figo_stage", "diagnoses.primary_diagnosis",
    "diagnoses.diagnosis_is_primary_disease", "diagnoses.classification_of_tumor",
    "follow_ups.days_to_follow_up",
)  # fmt: skip


def properties(modality: str, gdc: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields, and their values, that the files of a modality have.

    Parameters
    ----------
    modality
        A key of `DATA`.
    gdc
        The section `gdc` of a cohort file.
    """
    chosen = gdc.get(modality, {})
    found = dict(DATA[modality])
    if "data_type" in chosen:
        found["data_type"] = chosen["data_type"]
    if chosen.get("workflow"):
        found["analysis.workflow_type"] = chosen["workflow"]
    return found


def file_filter(modalities: Sequence[str], gdc: Mapping[str, Any]) -> Filter:
    """Return the filter of all files of the `modalities` of a cohort; `gdc` is that section of the cohort file."""
    wanted = [
        {"op": "and", "content": [_is(name, [value]) for name, value in properties(modality, gdc).items()]}
        for modality in modalities
        if modality in DATA
    ]
    projects = _is("cases.project.project_id", gdc["projects"])
    return {"op": "and", "content": [projects, {"op": "or", "content": wanted}]}


def case_filter(projects: Sequence[str]) -> Filter:
    """Return the filter of all cases of a cohort."""
    return _is("project.project_id", projects)


def _is(name: str, values: Sequence[str]) -> Filter:
    return {"op": "in", "content": {"field": name, "value": list(values)}}


def all_hits(ask: Ask, endpoint: str, filters: Filter, fields: Sequence[str], page: int = PAGE) -> list[Hit]:
    """Return every hit of a query, asked for page by page in a fixed order.

    Raises
    ------
    ValueError
        If the pages do not add up to the total that the server states: the data changed meanwhile.
    """
    by = {"files": "file_id", "cases": "case_id"}[endpoint]
    hits: dict[str, Hit] = {}
    with tqdm(desc=f"ask for {endpoint}", unit="hit") as bar:
        while True:
            answer = ask(
                endpoint,
                {
                    "filters": filters,
                    "fields": ",".join(fields),
                    "format": "JSON",
                    "size": page,
                    "from": len(hits),
                    "sort": f"{by}:asc",
                },
            )
            if answer.get("warnings") and not hits:
                # fields that this release does not know are left out of the answer, not refused
                logger.info("the GDC warns of the query for %s: %s", endpoint, answer["warnings"])
            found, total = answer["data"]["hits"], answer["data"]["pagination"]["total"]
            hits |= {hit[by]: hit for hit in found}
            bar.total = total
            bar.update(len(found))
            if len(hits) == total:
                return list(hits.values())
            if len(found) < page:
                raise ValueError(
                    f"the GDC announced {total} {endpoint} and sent {len(hits)}; its data may have changed just now: "
                    "run again."
                )
