"""scGPT beside the published package, and memory of the two steps that see the most data.

The package needs an environment of its own, which is built here on first use (envs/scgpt.yaml and what its post-deploy
script adds; 1.5 GB). Weights are random in the official sizes: speed does not depend on their values.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "resources" / "benchmarks" / "scgpt"
GENES = 60_694  # of the published vocabulary


def rows() -> list[dict]:
    """Return one row a bar."""
    return [*_speed(), _memory("bulk_1000_memory", 3.0), _memory("census_100k_memory", 2.0)]


def _speed() -> list[dict]:
    python = _environment()
    command = [python, str(Path(__file__).with_name("scgpt_worker.py")), str(ROOT / "scripts")]
    done = subprocess.run(
        [*command, str(FOLDER / "checkpoint"), str(GENES)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    shared = "12 layers of 512, random weights, one thread, medians of interleaved rounds in CPU time"
    described = {
        "scgpt_1200_f32": ("1200", 2.5, "4 profiles of 1200 tokens"),
        "scgpt_ragged_f32": (
            "ragged",
            3.0,
            f"16 cells of {answer['ragged_median']:.0f} tokens (median), theirs padded",
        ),
        "scgpt_1200_bf16": ("bf16", 3.4, "4 profiles of 1200 tokens, ours in bfloat16, theirs in float32"),
    }
    found = []
    for name, (key, goal, profiles) in described.items():
        measured = answer.get(key)
        row = {"name": name, "goal": goal, "unit": "profiles/CPU s", "ours": None, "reference": None, "ratio": None}
        if measured is None:
            found.append(
                row | {"conditions": "not measured: this CPU has no bfloat16 instructions (AVX-512 BF16, AMX)"}
            )
            continue
        apart = f"lowest cosine {measured['cosine']:.6f}, largest difference {measured['difference']:.1e}"
        numbers = {"ours": measured["ours"], "reference": measured["theirs"], "ratio": measured["ratio"]}
        best = f"ratio of the fastest rounds {measured['best']:.2f}"
        found.append(row | numbers | {"conditions": f"{profiles}; {shared}; {best}; {apart}"})
    return found


def _environment() -> str:
    """Return the python of the published package's environment, built if it is not there."""
    python = FOLDER / "environment" / "bin" / "python"
    ready = FOLDER / "environment" / "ready"
    if not ready.is_file():
        subprocess.run([sys.executable, str(ROOT / "envs" / "install.py"), str(python.parents[1]), "scgpt"], check=True)
        # what the environment's post-deploy script does
        added = (ROOT / "envs" / "scgpt.post-deploy.sh").read_text().splitlines()[-1].split()
        subprocess.run([str(python), *added[1:]], check=True)
        ready.touch()
    return str(python)


def _memory(name: str, limit: float) -> dict:
    """Return the peak memory of one step in a process of its own; the ratio is the limit over it."""
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'scripts'}:{ROOT}", "OMP_NUM_THREADS": "1"}
    for stage in ("prepare", "measure"):
        code = f"from tests.benchmarks.scgpt_memory import {stage}_{name}; {stage}_{name}({str(folder)!r})"
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
    answer = json.loads(done.stdout.splitlines()[-1])
    return {
        "name": name,
        "ours": answer["gigabytes"],
        "reference": limit,
        "ratio": limit / answer["gigabytes"],
        "goal": 1.0,
        "unit": "GB",
        "conditions": answer["conditions"],
    }
