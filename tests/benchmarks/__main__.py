"""Run the benchmarks: ``python -m tests.benchmarks [TOPIC ...]``.

Every ``bench_<topic>.py`` beside this file has a function ``rows()`` that measures ours and a reference side by side
and returns rows of the columns below. A ratio above 1 means that ours is better.
"""

import importlib
import logging
import os
import sys
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
sys.path.insert(0, "scripts")

import pandas as pd  # noqa: E402 - the thread variables are read when numerical libraries load

from pathgptomic.files import atomic  # noqa: E402

COLUMNS = ["name", "ours", "reference", "ratio", "goal", "unit", "conditions"]
FOLDER = Path("results/benchmarks")


def main(topics: list[str]) -> None:
    """Run some topics, or all, and write and print one table each."""
    known = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))
    if unknown := sorted(set(topics) - set(known)):
        sys.exit(f"unknown benchmark '{unknown[0]}'; known are {', '.join(known)}.")
    for topic in topics or known:
        logging.info("benchmark %s", topic)
        module = importlib.import_module(f"tests.benchmarks.bench_{topic}")
        table = pd.DataFrame(module.rows(), columns=COLUMNS)
        with atomic(FOLDER / f"{topic}.tsv") as path:
            table.to_csv(path, sep="\t", index=False, float_format="%.4g")
        sys.stdout.write(table.to_string(index=False, float_format="{:.4g}".format) + "\n\n")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(sys.argv[1:])
