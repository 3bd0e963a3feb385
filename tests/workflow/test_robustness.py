"""Disks that are full or read-only, and runs that are killed: one clear sentence, nothing finished is lost."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workflow.killing import differences, kill_at_random
from tests.workflow.small import little_clone, small_clone
from tests.workflow.test_workflow import snakemake

SPLITS, BAGS = "results/little/cohort/splits.tsv", "results/little/slides/bags.npy"


def mount(folder: Path, options: str) -> bool:
    """Mount a file system in memory, or change its options, and tell whether that worked."""
    return subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A clone whose results are on a small disk of their own, with a cohort that has been built."""
    clone = little_clone(tmp_path_factory.mktemp("disk") / "clone")
    results = clone / "results"
    results.mkdir()
    if not shutil.which("mount") or not mount(results, "size=4m"):
        pytest.skip("a disk of our own needs root and mount")
    try:
        snakemake("--cores", "2", "--", SPLITS, folder=clone)
        yield clone
    finally:
        subprocess.run(["umount", "--lazy", results], check=True)


def states(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return the content and the time of every file below a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_a_full_disk_is_named_and_costs_nothing_that_is_finished(disk: Path):
    results = disk / "results"
    before = states(results)
    filler = results / "filler"
    free = shutil.disk_usage(results).free
    filler.write_bytes(bytes(free - 16384))
    output = snakemake("--cores", "1", "--", BAGS, folder=disk, check=False)
    assert re.search(r"ERROR pathgptomic: the disk is full.*free some space and run again", output), output[-3000:]
    assert not (disk / BAGS).exists()
    filler.unlink()
    assert states(results) == before
    snakemake("--cores", "1", "--", BAGS, folder=disk)
    assert (disk / BAGS).stat().st_size > 16384
    assert {name: state for name, state in states(results).items() if name in before} == before


def test_a_read_only_disk_is_named_before_any_job(disk: Path):
    results = disk / "results"
    target = "results/little/models/clinical-cox/predictions.tsv"
    before = states(results)
    assert subprocess.run(["mount", "-o", "remount,ro", results]).returncode == 0
    try:
        output = snakemake("--cores", "1", "--", target, folder=disk, check=False)
    finally:
        subprocess.run(["mount", "-o", "remount,rw", results], check=True)
    assert "results cannot be written in (read-only file system)" in output
    assert "Traceback" not in output
    assert "rule fit_baseline" not in output
    assert states(results) == before
    snakemake("--cores", "1", "--", target, folder=disk)


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.kills)])
def test_a_run_that_is_killed_ends_with_the_report_of_one_that_is_not(small_run: Path, tmp_path: Path, kills: int):
    clone = small_clone(tmp_path / "clone")
    if kills < 20:
        # the short version begins after the simulation, which has nothing to lose
        shutil.copytree(small_run / "resources", clone / "resources", symlinks=True)
        (clone / "logs" / "small").mkdir(parents=True)
        for record in (small_run / "logs" / "small").glob("simulate_*.json"):  # what was done is part of the report
            shutil.copy(record, clone / "logs" / "small")
    began = time.monotonic()
    moments = kill_at_random(clone, kills=kills, seconds=(5, 40), seed=kills)
    assert len(moments) == kills
    print(f"{kills} kills after {moments} s, {time.monotonic() - began:.0f} s in all")  # noqa: T201 - for `make kills`
    assert differences(small_run / "results", clone / "results") == []
    assert not list(clone.glob("results/**/.*.part*"))
    assert "Nothing to be done" in snakemake("-n", folder=clone)
    assert os.listdir(clone / ".snakemake" / "incomplete") == []
