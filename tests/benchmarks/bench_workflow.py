"""What Snakemake itself costs: planning ten cohorts, and running the demo beside what its jobs take."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from tests.workflow.test_workflow import DEMO, copy_clone

STARTUP_GOAL = 10  # seconds
OVERHEAD_GOAL = 0.25  # of the time of the jobs themselves
REPEATS = 3


def rows() -> list[dict]:
    """Return the rows dag_startup and overhead_local; the reference of both is the goal, there is no other pipeline."""
    with tempfile.TemporaryDirectory() as work:
        clone = copy_clone(Path(work) / "clone")
        return [startup(clone), overhead(clone, *DEMO)]


def startup(clone: Path) -> dict:
    """Measure a dry run of all ready cohorts in a fresh clone."""
    cohorts = sorted(path.stem for path in (clone / "config" / "cohorts").glob("tcga-*.yaml"))
    chosen = ["--config", f"cohorts=[{','.join(cohorts)}]"]
    seconds = min(snakemake(clone, "-n", "--quiet", "all", *chosen) for _ in range(REPEATS))
    conditions = f"snakemake -n, {len(cohorts)} cohorts, best of {REPEATS}"
    return row("dag_startup", seconds, STARTUP_GOAL, "s", conditions)


def overhead(clone: Path, *arguments: str) -> dict:
    """Measure a run on one core, where the jobs' own times add up, against the benchmark files of its jobs."""
    wall = snakemake(clone, "--cores", "1", *arguments)
    own = [pd.read_csv(path, sep="\t")["s"].sum() for path in (clone / "benchmarks").rglob("*.tsv")]
    share = wall / sum(own) - 1
    conditions = f"{len(own)} jobs on one core, {sum(own):.0f} s of their own in {wall:.0f} s"
    return row("overhead_local", share, OVERHEAD_GOAL, "of the jobs' time", conditions)


def snakemake(folder: Path, *arguments: str) -> float:
    """Run Snakemake and return the seconds that it took."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "snakemake", *arguments], cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - start


def row(name: str, ours: float, goal: float, unit: str, conditions: str) -> dict:
    """Return one row whose reference is the goal."""
    return {
        "name": name,
        "ours": ours,
        "reference": goal,
        "ratio": goal / ours,
        "goal": 1.0,
        "unit": unit,
        "conditions": conditions,
    }
