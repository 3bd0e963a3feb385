"""The step lock_cohort: ask the GDC once what a cohort is, and hold it against what it was."""

import gzip
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pathgptomic.cohort.gdc.client import Access, Client
from pathgptomic.cohort.gdc.drift import drift
from pathgptomic.cohort.gdc.manifest import CLINICAL, build_manifest, read_manifest, write_manifest
from pathgptomic.cohort.gdc.mirror import Mirror
from pathgptomic.cohort.gdc.query import CASE_FIELDS, FILE_FIELDS, Ask, Hit, all_hits, case_filter, file_filter
from pathgptomic.files import atomic

logger = logging.getLogger(__name__)

SHOWN = 20  # changes in the log; drift.tsv has them all


def lock_cohort(
    *,
    cohort: str,
    gdc: Mapping[str, Any],
    modalities: Sequence[str],
    access: Mapping[str, Any],
    mirror: str | None,
    lock: str | None,
    manifest_out: str,
    drift_out: str,
    answers_out: str,
) -> None:
    """Write the manifest of a cohort, the GDC's answers as received, and how they differ from the cohort's lock.

    Parameters
    ----------
    cohort
        Name of the cohort, for messages.
    gdc
        The section `gdc` of the cohort file.
    modalities
        Modalities of the cohort.
    access
        The section `gdc` of config.yaml.
    mirror
        Folder that stands in for the GDC, or None.
    lock
        A manifest that pins the cohort, or None. It stays in force unless ``on_drift`` is ``accept``.
    manifest_out, drift_out
        Tables.
    answers_out
        Folder of the answers: files.json.gz, cases.json.gz, status.json.

    Raises
    ------
    ValueError
        If the cohort is empty, or has drifted from its lock and ``on_drift`` is ``stop``.
    """
    ask = Mirror(Path(mirror)).ask if mirror else Client(Access.from_config(access)).ask
    answers = ask_all(ask, gdc, modalities)
    release = str(answers["status"].get("data_release", "unknown"))
    now = build_manifest(answers["files"], answers["cases"], gdc=gdc, modalities=modalities, release=release)
    _refuse_empty(now, gdc, modalities)
    manifest = now
    changes = drift(now, now)
    if lock:
        locked = read_manifest(lock)
        changes = drift(locked, now)
        manifest = _settle(cohort, lock, locked, now, changes, access["on_drift"])
    write_manifest(manifest_out, manifest)
    with atomic(drift_out) as path:
        changes.to_csv(path, sep="\t", index=False, lineterminator="\n")
    with atomic(answers_out) as folder:
        write_answers(answers, folder)
    files = manifest[manifest["modality"] != CLINICAL]
    logger.info(
        "%s: %d cases, %d files, %.1f GB, %s",
        cohort,
        (manifest["modality"] == CLINICAL).sum(),
        len(files),
        files["size"].sum() / 1e9,
        release,
    )


def ask_all(ask: Ask, gdc: Mapping[str, Any], modalities: Sequence[str]) -> dict[str, Any]:
    """Return the status, the files and the cases of a cohort."""
    return {
        "status": ask("status", None),
        "files": all_hits(ask, "files", file_filter(modalities, gdc), FILE_FIELDS),
        "cases": all_hits(ask, "cases", case_filter(gdc["projects"]), CASE_FIELDS),
    }


def write_answers(answers: Mapping[str, Any], folder: Path) -> None:
    """Write the answers of `ask_all` in the form that a mirror's ``answers`` folder takes."""
    folder.mkdir()
    (folder / "status.json").write_text(json.dumps(answers["status"]) + "\n", encoding="utf-8")
    for kind in ("files", "cases"):
        # no time stamp inside, so that equal answers are equal files
        with gzip.GzipFile(folder / f"{kind}.json.gz", "wb", mtime=0) as handle:
            handle.write(json.dumps({"data": {"hits": answers[kind]}}).encode())


def read_cases(answers: str | Path) -> list[Hit]:
    """Return the cases of the answers that `write_answers` wrote."""
    with gzip.open(Path(answers) / "cases.json.gz", "rt", encoding="utf-8") as handle:
        return json.load(handle)["data"]["hits"]


def _refuse_empty(manifest: pd.DataFrame, gdc: Mapping[str, Any], modalities: Sequence[str]) -> None:
    projects = ", ".join(gdc["projects"])
    present = set(manifest["modality"])
    if CLINICAL not in present:
        raise ValueError(f"the GDC has no cases of {projects}; correct gdc.projects in the cohort file.")
    for modality in modalities:
        if modality not in present:
            raise ValueError(
                f"the GDC has no {modality} of {projects} with the data type and workflow of the cohort file; change "
                f"gdc.{modality}, or take {modality} out of `modalities`."
            )


def _settle(
    cohort: str, lock: str, locked: pd.DataFrame, now: pd.DataFrame, changes: pd.DataFrame, on_drift: str
) -> pd.DataFrame:
    """Return the manifest that counts, the locked one or today's, and say what has changed."""
    if changes.empty:
        return locked
    kinds = (changes["modality"] + " " + changes["change"]).value_counts()
    listed = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
    logger.warning("%s has drifted from %s: %s; the first changes:\n%s", cohort, lock, listed, changes.head(SHOWN))
    if on_drift == "stop":
        raise ValueError(
            f"{cohort} has drifted from {lock} ({listed}); look at the log, and set gdc.on_drift to report (keep to "
            "the lock) or accept (take today's data)."
        )
    return now if on_drift == "accept" else locked
