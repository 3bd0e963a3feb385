"""The step write_crate: a run as an RO-Crate, so that repositories and other people's tools can read how it was made.

Follows RO-Crate 1.1 and the Process Run Crate profile 0.5 (https://w3id.org/ro/wfrun/process/0.5): every job is a
CreateAction, every rule the software that did it. Files below the folder of the results are part of the crate; files
from elsewhere are named with their hash.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pathgptomic import __version__
from pathgptomic.files import atomic
from pathgptomic.operations.lineage import content, history
from pathgptomic.provenance import FOLDER, read_records

Entity = dict[str, Any]
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
SPECIFICATION = "https://w3id.org/ro/crate/1.1"
TERMS = "https://w3id.org/ro/terms/workflow-run#"
CONTEXT = [f"{SPECIFICATION}/context", {"sha256": f"{TERMS}sha256"}]
PAPER = "https://arxiv.org/abs/2403.11375"
KINDS = {
    ".tsv": "text/tab-separated-values",
    ".json": "application/json",
    ".html": "text/html",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
    ".txt": "text/plain",
    ".parquet": "application/vnd.apache.parquet",
    ".h5ad": "application/x-hdf5",
    ".h5": "application/x-hdf5",
}  # others are bytes


def write_crate(*, cohort: str, title: str, report: str, run: str, crate_out: str) -> None:
    """Write the metadata file that makes an RO-Crate of the folder that it lies in.

    Parameters
    ----------
    cohort, title
        Name of the cohort, and its name for people.
    report
        The report; what it was made from is told back to the first file.
    run
        run.json, whose hashes are taken.
    crate_out
        ``ro-crate-metadata.json`` at the root of the results.
    """
    root = Path(crate_out).parent
    jobs, paths = history([report, run], read_records(FOLDER))
    known = json.loads(Path(run).read_text(encoding="utf-8"))["files"]
    files = [entity for path in paths if (entity := _file(path, root, known.get(path) or content(path)))]
    parts = [{"@id": file["@id"]} for file in files if file["@type"] != "CreativeWork"]
    ordered = sorted(jobs.items(), key=lambda item: item[1]["began"])
    actions = [_action(record, job, root, {file["@id"] for file in files}) for record, job in ordered]
    software = {job["rule"]: _software(job) for _, job in ordered}
    last = max((action["endTime"] for action in actions), default="")
    graph = [
        {
            "@id": "ro-crate-metadata.json",
            "@type": "CreativeWork",
            "about": {"@id": "./"},
            "conformsTo": {"@id": SPECIFICATION},
        },
        {
            "@id": "./",
            "@type": "Dataset",
            "name": f"Path-GPTOmic: {title}",
            "description": f"Survival predictions, evaluation and report of the cohort {cohort}, with their history.",
            "datePublished": last,
            "license": {"@id": "#licence"},
            "conformsTo": {"@id": PROFILE},
            "citation": {"@id": PAPER},
            "hasPart": parts,
            "mentions": [{"@id": action["@id"]} for action in actions],
        },
        {"@id": PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"},
        {"@id": PAPER, "@type": "ScholarlyArticle", "name": "Path-GPTOmic"},
        {
            "@id": "#licence",
            "@type": "CreativeWork",
            "name": "Licence to be chosen",
            "description": "Whoever publishes this crate says here under which licence, as the data's own terms allow.",
        },
        *files,
        *software.values(),
        *actions,
    ]
    with atomic(crate_out) as temporary:
        text = json.dumps({"@context": CONTEXT, "@graph": graph}, indent=1, ensure_ascii=False)
        temporary.write_text(f"{text}\n", encoding="utf-8")


def _identifier(path: str, root: Path) -> str:
    """Return the id of a file in the crate: its place below the root, or a name for what lies elsewhere."""
    place = Path(path)
    if place.is_relative_to(root):
        return quote(str(place.relative_to(root))) + ("/" if place.is_dir() else "")
    return f"#elsewhere/{quote(path)}"


def _file(path: str, root: Path, found: Mapping[str, Any] | None) -> Entity | None:
    if found is None:
        return None
    entity: Entity = {"@id": _identifier(path, root), "name": path, "sha256": found["sha256"]}
    if entity["@id"].startswith("#"):
        return entity | {"@type": "CreativeWork", "description": "A file outside this crate, by its hash."}
    size = {"contentSize": str(found["bytes"])}
    if entity["@id"].endswith("/"):
        return entity | {"@type": "Dataset", "description": f"{found['count']} files."} | size
    kind = KINDS.get(Path(path).suffix, "application/octet-stream")
    return entity | {"@type": "File", "encodingFormat": kind} | size


def _software(job: Mapping[str, Any]) -> Entity:
    needed = ", ".join(f"{name} {text}" for name, text in sorted(job["packages"].items()))
    return {
        "@id": f"#rule/{job['rule']}",
        "@type": "SoftwareApplication",
        "name": f"Path-GPTOmic, rule {job['rule']}",
        "url": PAPER,
        "softwareVersion": f"{__version__} {job['code']['commit']} {job['code']['digest']}".strip(),
        "softwareRequirements": needed,
    }


def _action(record: str, job: Mapping[str, Any], root: Path, known: set[str]) -> Entity:
    began = datetime.fromisoformat(job["began"])
    wildcards = ", ".join(f"{name} {text}" for name, text in job["wildcards"].items())
    return {
        "@id": f"#job/{quote(record)}",
        "@type": "CreateAction",
        "name": f"{job['rule']} ({wildcards})" if wildcards else job["rule"],
        "description": "; ".join(_circumstances(job)),
        "instrument": {"@id": f"#rule/{job['rule']}"},
        "startTime": job["began"],
        "endTime": (began + timedelta(seconds=job["seconds"])).isoformat(timespec="seconds"),
        "actionStatus": {"@id": "http://schema.org/CompletedActionStatus"},
        **{
            word: _one_or_all([{"@id": name} for path in job[key] if (name := _identifier(path, root)) in known])
            for word, key in (("object", "input"), ("result", "output"))
        },
    }


def _one_or_all(values: list[Entity]) -> Entity | list[Entity]:
    """Return a single value without its list, as RO-Crate wants it."""
    return values[0] if len(values) == 1 else values


def _circumstances(job: Mapping[str, Any]) -> Iterator[str]:
    """Yield where and with what effort a job was done, in words."""
    yield f"on {job['host']} ({job['platform']})"
    yield f"{job['threads']} threads, {job['cpu_seconds']} s of CPU time, {job['peak_mb']} MB at most"
    if job["seed"] is not None:
        yield f"seed {job['seed']}"
    if job["gpu"]:
        yield f"GPU {job['gpu']}"
