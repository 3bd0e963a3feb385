"""Run Snakemake, end it with its whole process group at random moments, run it again until it is done; then compare."""

import filecmp
import json
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

LIMIT = 1800  # seconds that any one run may take
# what may differ between two runs: these keys of run.json, and what a report prints of them at its end;
# `packages` since a job that finds its work half done may not need all of them
TIMED = ("began", "seconds", "cpu_seconds", "peak_mb", "host", "platform", "slurm_job", "packages")


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start Snakemake as the leader of a process group of its own."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--rerun-incomplete", *arguments]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def kill_at_random(folder: Path, *, kills: int, seconds: tuple[float, float], seed: int) -> list[float]:
    """Run to the end with `kills` kills at random moments, and return after how many seconds each of them came.

    A run that ends before its moment has come counts for none of them: its results are taken away, and it starts anew.
    """
    dice = random.Random(seed)
    moments: list[float] = []
    while len(moments) < kills:
        moment = dice.uniform(*seconds)
        process = start(folder)
        try:
            output = process.communicate(timeout=moment)[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            moments.append(moment)
            subprocess.run([sys.executable, "-m", "snakemake", "--unlock"], cwd=folder, check=True, capture_output=True)
            continue
        assert process.returncode == 0, output[-4000:]
        subprocess.run(["rm", "-rf", "results"], cwd=folder, check=True)
    process = start(folder)
    output = process.communicate(timeout=LIMIT)[0]
    assert process.returncode == 0, output[-4000:]
    return moments


def differences(one: Path, other: Path) -> list[str]:
    """Return the files below two folders that are missing in one of them, or differ in more than times and places.

    Files are held to their bytes, and where these differ to what `SAME` says of their ending.
    """
    files = {str(path.relative_to(root)) for root in (one, other) for path in root.rglob("*") if path.is_file()}
    found = []
    for name in sorted(files):
        a, b = one / name, other / name
        if not (a.is_file() and b.is_file()):
            found.append(f"{name} (in one only)")
        elif not filecmp.cmp(a, b, shallow=False):
            compare = next((function for ending, function in SAME.items() if name.endswith(ending)), None)
            if compare is None or not compare(a, b):
                found.append(name)
    return found


def same_page(one: Path, other: Path) -> bool:
    """Tell whether two reports are equal but for the time and memory of the jobs."""
    return _timeless(one) == _timeless(other)


def _timeless(path: Path) -> str:
    text = path.read_text()
    costs = re.search(r"<caption>Time and memory of every rule.*?All rules: [^<]*", text, re.S)
    assert costs, f"{path} does not say what the run has cost"
    # and when the first job began
    return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", "", text.replace(costs[0], ""))


def same_run(one: Path, other: Path) -> bool:
    """Tell whether two run.json tell the same of jobs and files."""
    return _run(one) == _run(other)


def _run(path: Path) -> dict:
    run = json.loads(path.read_text())
    run["jobs"] = {job["record"]: {key: job[key] for key in job if key not in TIMED} for job in run["jobs"]}
    return run


SAME = {"report.html": same_page, "run.json": same_run}
