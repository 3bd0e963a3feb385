"""The step record_run: from which files, by which code, where and with what effort results were made."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pathgptomic import __version__
from pathgptomic.files import atomic, sha256_file
from pathgptomic.provenance import FOLDER, read_records

logger = logging.getLogger(__name__)


def record_run(*, cohort: str, targets: Sequence[str], threads: int, run_out: str) -> None:
    """Write run.json: every job behind some files, every file that these read or wrote, with its SHA-256.

    Parameters
    ----------
    cohort
        Name of the cohort.
    targets
        Files and folders, relative to the working directory, whose history is told.
    threads
        Files hashed at the same time.
    run_out
        JSON: ``cohort``, ``version``, ``jobs`` (records of `provenance`, in the order in which they began, with
        ``record``, the path of each) and ``files`` (path -> sha256, bytes, count, made_by; `made_by` is the record of
        the job that wrote the file, null for a file that was given).
    """
    jobs, paths = history(targets, read_records(FOLDER))
    makers = {output: record for record, job in jobs.items() for output in job["output"]}
    with ThreadPoolExecutor(threads) as pool:
        contents = list(tqdm(pool.map(content, paths), total=len(paths), desc="hash", unit="file"))
    files = {
        path: found | {"made_by": _maker(path, makers)} for path, found in zip(paths, contents, strict=True) if found
    }
    run = {
        "cohort": cohort,
        "version": __version__,
        "jobs": sorted((job | {"record": record} for record, job in jobs.items()), key=lambda job: job["began"]),
        "files": files,
    }
    unknown = [path for path in files if files[path]["made_by"] is None and path.startswith("results/")]
    if unknown:
        logger.warning("%d results have no record of their job (logs removed?), such as %s", len(unknown), unknown[0])
    with atomic(run_out) as temporary:
        temporary.write_text(json.dumps(run, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def history(
    targets: Sequence[str], records: Mapping[Path, Mapping[str, Any]]
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return the jobs behind some files, by record, and all files that they read or wrote.

    Of two records that claim the same file, the later one counts: a rule that has changed its name leaves its old one.
    """
    makers: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for path, record in sorted(records.items(), key=lambda item: str(item[1]["began"])):
        makers |= {output: (str(path), record) for output in record["output"]}
    jobs: dict[str, dict[str, Any]] = {}
    seen: set[str] = set()
    todo = list(targets)
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        maker = _maker(path, makers)
        if maker and maker[0] not in jobs:
            jobs[maker[0]] = dict(maker[1])
            todo += [*maker[1]["input"], *maker[1]["output"]]
    return jobs, sorted(seen)


def _maker(path: str, makers: Mapping[str, Any]) -> Any:
    """Return what `makers` says of a path or of the folder that it lies in."""
    places = (path, *map(str, Path(path).parents))
    return next((makers[place] for place in places if place in makers), None)


def content(path: str | Path) -> dict[str, Any] | None:
    """Return SHA-256, size in bytes and number of files of a file or a folder; None where it is gone.

    The hash of a folder is that of the lines ``<sha256>  <path in the folder>`` of its files in order, as
    ``sha256sum`` would write them.
    """
    path = Path(path)
    if not path.exists():
        return None
    if path.is_file():
        return {"sha256": sha256_file(path), "bytes": path.stat().st_size, "count": 1}
    files = sorted(file for file in path.rglob("*") if file.is_file())
    lines = "".join(f"{sha256_file(file)}  {file.relative_to(path)}\n" for file in files)
    digest = hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
    return {"sha256": digest, "bytes": sum(file.stat().st_size for file in files), "count": len(files)}
