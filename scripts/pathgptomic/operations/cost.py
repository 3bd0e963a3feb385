"""The step sum_costs: what the runs of a working directory have cost, stage by stage.

Time and memory are Snakemake's measurements (``benchmarks/``), or those of the job where a benchmark was removed;
where a job ran under Slurm and `sacct` answers, core-hours, GPU-hours and memory are what the site accounts for.
"""

import logging
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pathgptomic.files import atomic
from pathgptomic.provenance import FOLDER, read_records

logger = logging.getLogger(__name__)

HOUR = 3600.0
COLUMNS = ("stage", "jobs", "hours", "cpu_hours", "core_hours", "gpu_hours", "peak_mb", "disk_mb")
UNITS = {"K": 2**-10, "M": 1.0, "G": 2**10, "T": 2**20}
ASKED = ("JobIDRaw", "ElapsedRaw", "CPUTimeRAW", "AllocTRES", "MaxRSS")
AT_ONCE = 500  # jobs in one question to sacct


def sum_costs(*, stages: Mapping[str, str], table_out: str) -> None:
    """Write and log one row a stage and one for all of them.

    Parameters
    ----------
    stages
        Rule -> stage.
    table_out
        Table: `COLUMNS`. `hours` is the time that jobs took, `cpu_hours` what processors worked, `core_hours` the cores
        that were set aside, `peak_mb` the largest memory of one job, `disk_mb` the size of the outputs as they are now.

    Raises
    ------
    ValueError
        If no job has left a record.
    """
    records = read_records(FOLDER)
    if not records:
        raise ValueError(f"there is nothing to sum: no job has left a record in {Path(FOLDER).resolve()}.")
    accounts = accounted(record["slurm_job"] for record in records.values() if record["slurm_job"])
    rows = [_cost(path, record, stages, accounts) for path, record in records.items()]
    table = summarise(pd.DataFrame(rows))
    with atomic(table_out) as temporary:
        table.to_csv(temporary, sep="\t", index=False, lineterminator="\n", float_format="%.4f")
    logger.info("cost of %d jobs:\n%s", len(rows), table.to_string(index=False, float_format="{:,.2f}".format))


def summarise(jobs: pd.DataFrame) -> pd.DataFrame:
    """Return one row a stage, in the order in which stages are named, and the sum of all."""
    how = {name: "max" if name == "peak_mb" else "sum" for name in COLUMNS[1:]}
    by_stage = jobs.assign(jobs=1).groupby("stage", sort=False).agg(how).reset_index()
    total = by_stage.agg(how).to_frame().T.assign(stage="all")
    table = pd.concat([by_stage, total], ignore_index=True)[list(COLUMNS)]
    return table.astype({"jobs": int} | dict.fromkeys(COLUMNS[2:], float))


def _cost(
    path: Path, record: Mapping[str, Any], stages: Mapping[str, str], accounts: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    """Return the cost of one job; hours of time, MB of memory and disk."""
    measured = {"s": record["seconds"], "cpu_time": record["cpu_seconds"], "max_rss": record["peak_mb"]}
    benchmark = Path("benchmarks", *path.parts[1:]).with_suffix(".tsv")
    if benchmark.is_file():
        found = pd.read_csv(benchmark, sep="\t", na_values=["-", "NA"]).iloc[-1]
        measured |= {name: float(found[name]) for name in measured if pd.notna(found[name])}
    hours = measured["s"] / HOUR
    cost = {
        "stage": stages.get(record["rule"], "other"),
        "hours": hours,
        "cpu_hours": measured["cpu_time"] / HOUR,
        "core_hours": hours * record["threads"],
        "gpu_hours": hours if record["gpu"] else 0.0,
        "peak_mb": measured["max_rss"],
        "disk_mb": sum(_size(output) for output in record["output"]) / 2**20,
    }
    return cost | accounts.get(record["slurm_job"], {})


def _size(output: str) -> int:
    path = Path(output)
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size if path.exists() else 0


def accounted(jobs: Iterable[str]) -> dict[str, dict[str, float]]:
    """Return what Slurm accounts for of some jobs; nothing where it keeps no accounts or does not know them."""
    jobs = sorted(set(jobs))
    found: dict[str, dict[str, float]] = {}
    if not jobs or not shutil.which("sacct"):
        return found
    for start in range(0, len(jobs), AT_ONCE):
        chosen = ",".join(jobs[start : start + AT_ONCE])
        command = ["sacct", "--noheader", "--parsable2", f"--jobs={chosen}", f"--format={','.join(ASKED)}"]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ)
        except (OSError, subprocess.SubprocessError):
            return found
        found |= read_accounts(answer.stdout)
    return found


def read_accounts(text: str) -> dict[str, dict[str, float]]:
    """Return hours and memory by job number from sacct's lines: the job's own, then those of its steps."""
    found: dict[str, dict[str, float]] = {}
    for line in text.splitlines():
        number, elapsed, cpu_time, tres, rss = line.split("|")
        job, _, step = number.partition(".")
        cost = found.setdefault(job, {})
        if not step:
            hours = float(elapsed or 0) / HOUR
            parts = dict(part.split("=", 1) for part in tres.split(",") if "=" in part)
            cost |= {"hours": hours, "core_hours": float(cpu_time or 0) / HOUR}
            cost["gpu_hours"] = hours * float(parts.get("gres/gpu", 0))
        elif rss:
            size = float(rss[:-1]) * UNITS[rss[-1]] if rss[-1] in UNITS else float(rss) / 2**20
            cost["peak_mb"] = max(size, cost.get("peak_mb", 0.0))
    return found
