"""Facts of the run: versions, seeds, hashes of the data, time and memory of every rule."""

import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

from pathgptomic import __version__
from pathgptomic.files import sha256_file
from pathgptomic.report.grids import Cell, Column, Grid, Row, facts_grid, whole, words
from pathgptomic.report.wording import DASH, duration, missing, size

PACKAGES = ("numpy", "pandas", "scipy", "lifelines", "scikit-survival", "matplotlib", "jinja2")
MEGA = 1024**2


def run_grid(
    facts: Mapping[str, Any],
    methods: Mapping[str, Any],
    bundle: str | Path | None = None,
    run: Mapping[str, Any] | None = None,
) -> Grid:
    """Return settings and versions of the run.

    Parameters
    ----------
    facts
        What the workflow says of itself: words -> value.
    methods
        methods.json of the evaluation, for the versions that made the numbers.
    bundle
        model.json of the report's first model, for the versions that trained it.
    run
        run.json of the workflow: what its jobs say of themselves.
    """
    versions = {"python": platform.python_version(), **_installed(), **methods["versions"]}
    if bundle is not None:
        trained = json.loads(Path(bundle).read_text(encoding="utf-8")).get("versions", {})
        versions |= {name: text for name, text in trained.items() if name not in versions}
    rows = [("Path-GPTOmic", __version__), *((name, _plain(fact)) for name, fact in facts.items())]
    rows += _jobs_in_words(run["jobs"]) if run else []
    rows.append(("Versions", ", ".join(f"{name} {text}" for name, text in sorted(versions.items()))))
    return facts_grid("Settings and versions", rows)


def data_grid(files: Sequence[str | Path], run: Mapping[str, Any] | None = None) -> Grid:
    """Return name, size and SHA-256 of the files that the results were made from.

    With run.json, whose hashes are taken, the files and folders that the run was given come first.
    """
    known = {path: (found["bytes"], found["sha256"]) for path, found in (run["files"] if run else {}).items()}
    given = [path for path, found in (run["files"] if run else {}).items() if found["made_by"] is None]
    rows = []
    for path in dict.fromkeys(map(str, [*given, *files])):
        length, digest = known.get(path) or (Path(path).stat().st_size, sha256_file(path))
        rows.append(Row([words(path), Cell(size(length), float(length)), words(digest)]))
    columns = [Column("File", numeric=False), Column("Size"), Column("SHA-256", numeric=False)]
    return Grid("Data behind the results", columns, rows)


def cost_grid(folder: str | Path) -> Grid | None:
    """Return time and memory of every rule from the benchmark files under `folder`, None where there are none.

    A rule's files are ``<rule>.tsv`` or lie in a folder of its name.
    """
    folder = Path(folder)
    parts = []
    for path in sorted(folder.rglob("*.tsv")):
        table = pd.read_csv(path, sep="\t", na_values=["-"])
        parts.append(table.assign(rule=path.relative_to(folder).with_suffix("").parts[0]))
    if not parts:
        return None
    table = pd.concat(parts)
    rows = []
    for rule, jobs in table.groupby("rule"):
        peak = jobs["max_rss"].max()
        rows.append(
            Row(
                [
                    words(rule),
                    whole(len(jobs)),
                    Cell(duration(jobs["s"].sum()), float(jobs["s"].sum())),
                    Cell(duration(jobs["s"].max()), float(jobs["s"].max())),
                    Cell(DASH if missing(peak) else size(peak * MEGA), None if missing(peak) else float(peak)),
                    Cell(duration(jobs["cpu_time"].sum()), float(jobs["cpu_time"].sum())),
                ]
            )
        )
    columns = [
        Column("Rule", numeric=False),
        Column("Jobs"),
        Column("Time, all jobs"),
        Column("Longest job"),
        Column("Peak memory"),
        Column("CPU time"),
    ]
    total = f"All rules: {duration(table['s'].sum())} of job time, {duration(table['cpu_time'].sum())} of CPU time."
    return Grid("Time and memory of every rule", columns, rows, total, sortable=True)


def _jobs_in_words(jobs: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return where and by which code the jobs of a run were done."""

    def distinct(values: Iterable[Any]) -> str:
        return ", ".join(sorted({str(value) for value in values if value not in ("", None)}))

    versions: dict[str, set[str]] = {}
    for job in jobs:
        for name, text in job["packages"].items():
            versions.setdefault(name, set()).add(text)
    mixed = {name: found for name, found in versions.items() if len(found) > 1}
    codes = distinct(job["code"]["commit"] or f"version {job['code']['version']} without git" for job in jobs)
    gpus = distinct(job["gpu"] for job in jobs)
    return [
        ("Jobs behind this report", str(len(jobs))),
        ("First job began", min(job["began"] for job in jobs)),
        ("Code", codes),
        ("Hosts", distinct(f"{job['host']} ({job['platform']})" for job in jobs)),
        *([("GPUs", gpus)] if gpus else []),
        (
            "Packages that differ between jobs",
            distinct(f"{name} {' and '.join(sorted(mixed[name]))}" for name in mixed) or "none",
        ),
    ]


def _installed() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _plain(fact: Any) -> str:
    return ", ".join(map(str, fact)) if isinstance(fact, list | tuple) else str(fact)
