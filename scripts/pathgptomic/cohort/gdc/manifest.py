"""The manifest of a cohort: one row for each file, and one for each case with the outcome it had that day."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pathgptomic.cohort.gdc.download import RemoteFile
from pathgptomic.cohort.gdc.mirror import matches, values
from pathgptomic.cohort.gdc.outcome import outcome
from pathgptomic.cohort.gdc.query import DATA, Hit, file_filter
from pathgptomic.cohort.gdc.samples import aliquots_of, is_primary
from pathgptomic.files import atomic

logger = logging.getLogger(__name__)

COLUMNS = (
    "modality", "uuid", "file_name", "md5", "size", "access", "data_category", "data_type", "workflow", "project",
    "case", "sample", "aliquot", "vital_status", "time_days", "data_release",
)  # fmt: skip
CLINICAL = "clinical"  # modality of the rows of cases; their uuid is the case's


def build_manifest(
    files: Sequence[Hit], cases: Sequence[Hit], *, gdc: Mapping[str, Any], modalities: Sequence[str], release: str
) -> pd.DataFrame:
    """Return the manifest of a cohort.

    Parameters
    ----------
    files, cases
        Hits of the queries.
    gdc
        The section `gdc` of the cohort file.
    modalities
        Modalities of the cohort.
    release
        Data release of the answers.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, sorted by modality, case and uuid. Files of samples other than primary tumours, or of several
        cases, are left out; their number is logged.
    """
    rows = [_case_row(case) for case in cases]
    left_out = 0
    filters = {modality: file_filter([modality], gdc) for modality in modalities if modality in DATA}
    for hit in files:
        modality = next((name for name, condition in filters.items() if matches(hit, condition)), None)
        row = _file_row(hit, modality) if modality else None
        left_out += row is None
        rows += [row] if row else []
    if left_out:
        logger.info("%d files of other samples than one patient's primary tumour are left out", left_out)
    table = pd.DataFrame(rows, columns=[name for name in COLUMNS if name != "data_release"]).assign(
        data_release=release
    )
    return table.sort_values(["modality", "case", "uuid"], ignore_index=True)[list(COLUMNS)]


def _case_row(case: Hit) -> dict[str, Any]:
    status, time = outcome(case)
    return {
        "modality": CLINICAL,
        "uuid": case["case_id"],
        "file_name": "",
        "md5": "",
        "size": 0,
        "access": "open",
        "data_category": "Clinical",
        "data_type": "",
        "workflow": "",
        "project": case["project"]["project_id"],
        "case": case["submitter_id"],
        "sample": "",
        "aliquot": "",
        "vital_status": status,
        "time_days": "" if time is None else f"{time:g}",
    }


def _file_row(hit: Hit, modality: str) -> dict[str, Any] | None:
    """Return the row of a file, or None where it is of another sample than one patient's primary tumour."""
    cases = hit.get("cases", [])
    if len(cases) != 1:
        return None
    samples = [sample for sample in cases[0].get("samples", []) if is_primary(sample)]
    if not samples and modality != "slides":
        return None
    aliquots = sorted({aliquot for sample in samples for aliquot in aliquots_of(sample)})
    return {
        "modality": modality,
        "uuid": hit["file_id"],
        "file_name": hit["file_name"],
        "md5": hit["md5sum"],
        "size": int(hit["file_size"]),
        "access": hit.get("access", "open"),
        "data_category": hit.get("data_category", ""),
        "data_type": hit.get("data_type", ""),
        "workflow": next(iter(values(hit, "analysis.workflow_type")), ""),
        "project": cases[0]["project"]["project_id"],
        "case": cases[0]["submitter_id"],
        "sample": ";".join(sorted(sample["submitter_id"] for sample in samples)),
        "aliquot": ";".join(aliquots),
        "vital_status": "",
        "time_days": "",
    }


def read_manifest(path: str | Path) -> pd.DataFrame:
    """Read a manifest: text, but `size` in bytes.

    Raises
    ------
    ValueError
        If a column is missing or a file is listed twice.
    """
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise ValueError(f"{path} has no column {missing[0]!r}; lock the cohort again.")
    twice = table["uuid"].duplicated()
    if twice.any():
        raise ValueError(f"{path} lists {table.loc[twice, 'uuid'].iloc[0]} twice; a file has one row.")
    return table.assign(size=table["size"].astype(int))


def write_manifest(path: str | Path, table: pd.DataFrame) -> None:
    """Write a manifest."""
    with atomic(path) as temporary:
        table[list(COLUMNS)].to_csv(temporary, sep="\t", index=False, lineterminator="\n")


def remote_files(rows: pd.DataFrame) -> list[RemoteFile]:
    """Return the files of manifest rows."""
    names = ["uuid", "file_name", "md5", "size", "access"]
    return [RemoteFile(*row) for row in rows.loc[rows["modality"] != CLINICAL, names].itertuples(index=False)]


def modalities_of(rows: pd.DataFrame, wanted: Iterable[str]) -> list[str]:
    """Return those of the `wanted` modalities that come as files."""
    present = set(rows["modality"])
    return [name for name in wanted if name in present and name in DATA]
