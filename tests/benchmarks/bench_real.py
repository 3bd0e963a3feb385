"""Where the time of the last `make real` went, from the benchmark file that Snakemake keeps of every job."""

import logging
from pathlib import Path

import pandas as pd

COHORTS = ("tcga-gbmlgg", "tcga-kirc")
CORES, GOAL_MINUTES = 2, 10


def rows() -> list[dict]:
    """Return one row, or none where `make real` has not run; its reference is the goal, there is no other pipeline."""
    files = [path for cohort in COHORTS for path in Path("benchmarks", cohort).rglob("*.tsv")]
    if not files:
        logging.warning("no row real_minutes: run `make real` first")
        return []
    # benchmarks/COHORT/RULE.tsv, or benchmarks/COHORT/RULE/MODEL.tsv
    jobs = pd.DataFrame(
        {"rule": Path(*path.parts[2:3]).stem, "seconds": pd.read_csv(path, sep="\t")["s"].sum()} for path in files
    )
    minutes = jobs["seconds"].sum() / 60 / CORES
    split = jobs.groupby("rule")["seconds"].sum().sort_values(ascending=False) / jobs["seconds"].sum()
    shares = ", ".join(f"{rule} {share:.0%}" for rule, share in split.head(5).items())
    return [
        {
            "name": "real_minutes",
            "ours": minutes,
            "reference": GOAL_MINUTES,
            "ratio": GOAL_MINUTES / minutes,
            "goal": 1.0,
            "unit": "min",
            "conditions": f"{len(jobs)} jobs, {len(COHORTS)} cohorts, wall time of all jobs / {CORES} cores; {shares}",
        }
    ]
