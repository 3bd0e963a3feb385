"""Runs of Snakemake on the cluster of the tests, and what the accounting database says of them afterwards."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from pathgptomic.slurm import cancel, queued
from tests.cluster import slurm
from tests.workflow.test_workflow import copy_clone

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LIMIT = 2400  # seconds that any one run of Snakemake may take on a busy machine; none waits for ever
# what the tests change of the profile: a scheduler that is asked often
OPTIONS = ["--profile", "slurm", "--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "10"]
WITHOUT_IMAGES = ["--sdm", "env-modules"]
FIELDS = ["JobIDRaw", "Comment", "State", "ReqMem", "Timelimit", "NodeList", "Partition", "AllocTRES", "Start", "End"]


def small_clone(folder: Path, *lines: str) -> Path:
    """Return a clone whose configuration is small.yaml and some lines more, and whose cohort has half the patients."""
    clone = copy_clone(folder)
    cohort = clone / "config" / "cohorts" / "demo.yaml"
    text = cohort.read_text()
    assert "patients: 120" in text
    cohort.write_text(text.replace("patients: 120", "patients: 60"))
    (clone / "config" / "config.yaml").write_text("\n".join([(HERE / "small.yaml").read_text(), *lines]))
    return clone


def start(*arguments: str, folder: Path, programs: Path | None = None) -> subprocess.Popen[str]:
    """Start Snakemake in a folder with the profile, and with the partition file if there is one."""
    path = [str(Path(sys.executable).parent), os.environ["PATH"]]
    environment = os.environ | {"PATH": os.pathsep.join([str(programs), *path] if programs else path)}
    environment.pop("SLURM_CONF", None)
    if (folder / "partitions.yaml").exists():
        environment["SNAKEMAKE_SLURM_PARTITIONS"] = str(folder / "partitions.yaml")
    # first, since the option takes every word up to the next option
    command = [sys.executable, "-m", "snakemake", *([] if programs else WITHOUT_IMAGES), *OPTIONS, *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def run(*arguments: str, folder: Path, programs: Path | None = None, fails: bool = False) -> str:
    """Run Snakemake to its end and return what it printed.

    Parameters
    ----------
    *arguments
        Arguments of Snakemake beside the profile.
    folder
        Working directory.
    programs
        Folder of Apptainer's program, for a run in images.
    fails
        Whether the run is expected to fail.
    """
    process = start(*arguments, folder=folder, programs=programs)
    try:
        output = process.communicate(timeout=LIMIT)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        output = process.communicate()[0]
        if left := queued(folder):
            cancel(left)
        pytest.fail(f"no end after {LIMIT} s:\n{output[-4000:]}")
    assert bool(process.returncode) == fails, output[-6000:]
    return output


def jobs(folder: Path) -> list[dict[str, str]]:
    """Return what the accounting database says of the jobs that were submitted in a folder, once all have ended."""
    fields = [*FIELDS, "WorkDir"]
    command = ["sacct", "-X", "-n", "-P", "-S", "now-1hour", f"--format={','.join(fields)}"]

    def look() -> list[dict[str, str]]:
        rows = [dict(zip(fields, line.split("|"), strict=True)) for line in slurm.output(*command).splitlines()]
        return [row for row in rows if Path(row["WorkDir"]).resolve() == folder.resolve()]

    wait(lambda: not any(row["State"] in {"PENDING", "RUNNING"} for row in look()), "sacct")
    return look()


def moment(text: str) -> datetime:
    """Return a time of sacct's."""
    return datetime.fromisoformat(text)


def probes(folder: Path) -> Path:
    """Return a folder with the small rules, the profile of the clone and a partition file."""
    shutil.copy(HERE / "probes.smk", folder / "Snakefile")
    shutil.copytree(ROOT / "config" / "profiles" / "slurm", folder / "slurm")
    shutil.copy(HERE / "partitions.yaml", folder)
    return folder


def probe(rule: str, *config: str) -> list[str]:
    """Return the arguments that run one of the small rules."""
    return [rule, "--config", f"scripts={ROOT / 'scripts'}", *config]


def wait(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    """Wait for a condition, longer than the daemons need."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"{what}: nothing after {seconds:.0f} s")
        time.sleep(0.5)
