"""A run is staged where there is a network and goes on where there is none: another folder, no route, real rules."""

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from pathgptomic.cohort.simulate.census import simulate_census
from pathgptomic.cohort.simulate.mirror import simulate_mirror
from pathgptomic.genomics.tiny_checkpoint import make_tiny_checkpoint
from pathgptomic.singlecell.simulate import simulate_cells
from tests.unit.cohort.gdc_server import FakeGdc, serve
from tests.workflow.test_workflow import copy_clone, snakemake

SEED = 17
SIMULATE = {"patients": 24, "genes": 300, "sites": 3, "slide_pixels": 1024}
CONFIG = """\
cohorts: [far]
gdc: {{base_url: "{url}", attempts: 2, timeout_s: 20}}
slides: {{batches: 1}}
singlecell:
  references:
    brain:
      source: census
      census: {{uri: "{census}", tissue: [brain]}}
      minimum_cells: 10
      mixtures: {{train: 60, validation: 20, test: 20}}
genomics:
  checkpoint: {checkpoint}
  max_length: 100
  adapters: {{mixup: {{method: mixup, reference: brain, epochs: 2}}}}
survival:
  models:
    fused: {{modalities: ["genomics:mixup", cnv, slides, clinical], training: {{epochs: 2}}}}
  baselines: [clinical-cox]
report: {{bootstrap: 100, permutations: 2}}
offline: {{environments: [workflow]}}
"""
COHORT = """\
title: A cohort that is far away
source: gdc
gdc: {projects: [SIMU]}
covariates: {age: numeric, sex: nominal}
splits: {scheme: kfold, folds: 2, inner_folds: 2}
audit: {missing_outcome: drop}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, FakeGdc]]:
    """What is outside: a GDC that serves a simulated cohort over HTTP, a Census, a checkpoint."""
    folder = tmp_path_factory.mktemp("world")
    simulate_mirror(
        settings=SIMULATE,
        seed=SEED,
        threads=2,
        mirror_out=str(folder / "gdc"),
        truth_out=str(folder / "truth.json"),
        hazards_out=str(folder / "hazards.tsv"),
    )
    simulate_cells(settings=SIMULATE, seed=SEED, donors=6, cells=15, path=str(folder / "cells.h5ad"))
    simulate_census(cells=folder / "cells.h5ad", census_out=folder / "census")
    make_tiny_checkpoint(expression=[str(folder / "cells.h5ad")], folder=str(folder / "scgpt"), seed=SEED)
    gdc = FakeGdc()
    for kind in ("files", "cases"):
        with gzip.open(folder / "gdc" / "answers" / f"{kind}.json.gz") as handle:
            gdc.hits[kind] = json.load(handle)["data"]["hits"]
    for hit in gdc.hits["files"]:
        gdc.files[hit["file_id"]] = (
            hit["file_name"],
            (folder / "gdc" / hit["file_id"] / hit["file_name"]).read_bytes(),
        )
    with serve(gdc):
        yield folder, gdc


@pytest.fixture(scope="module")
def connected(world: tuple[Path, FakeGdc], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with internet, in which the run was staged."""
    folder, gdc = world
    clone = copy_clone(tmp_path_factory.mktemp("connected") / "clone")
    names = {"url": gdc.url, "census": folder / "census", "checkpoint": folder / "scgpt"}
    (clone / "config" / "config.yaml").write_text(CONFIG.format(**names))
    (clone / "config" / "cohorts" / "far.yaml").write_text(COHORT)
    (clone / "containers" / "cohort.sif").write_bytes(b"an image")
    snakemake("--cores", "2", "stage_offline", folder=clone)
    return clone


@pytest.fixture(scope="module")
def carried(connected: Path, world: tuple[Path, FakeGdc], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second clone that was given the staged folder; the world outside is gone."""
    clone = copy_clone(tmp_path_factory.mktemp("carried") / "clone")
    disk = tmp_path_factory.mktemp("disk") / "far"
    shutil.copytree(connected / "offline", disk)
    (clone / "offline").symlink_to(disk)
    shutil.rmtree(connected / "offline")
    shutil.rmtree(world[0])
    return clone


def cut_off(*command: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a network namespace of its own, in which not even the loopback interface is up."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"} | variables
    return subprocess.run(
        ["unshare", "--net", *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=1500
    )


@pytest.fixture(scope="module", autouse=True)
def namespaces() -> None:
    """Skip where network namespaces are not allowed."""
    if not shutil.which("unshare") or subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode:
        pytest.skip("network namespaces need root and unshare")


def test_the_namespace_has_no_way_out(tmp_path: Path, world: tuple[Path, FakeGdc]):
    code = f"import urllib.request; urllib.request.urlopen({world[1].url + '/status'!r}, timeout=5)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert "Network is unreachable" in cut_off(sys.executable, "-c", code, folder=tmp_path).stderr


def test_everything_is_staged_with_its_checksum(connected: Path):
    offline = connected / "offline"
    listed = {line.split("  ", 1)[1] for line in (offline / "SHA256SUMS").read_text().splitlines()}
    there = {str(path.relative_to(offline)) for path in offline.rglob("*") if path.is_file()}
    assert listed == there - {"SHA256SUMS"}
    assert {path.partition("/")[0] for path in listed} >= {
        *("gdc", "cohorts", "references", "scgpt", "images", "wheels", "config.yaml", "README.md")
    }
    assert subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=offline).returncode == 0
    slides = [path for path in listed if path.endswith(".svs")]
    assert slides
    # no second copy on the same disk
    original = connected / "resources" / slides[0]
    assert original.samefile(offline / slides[0])


def test_staging_again_does_nothing_until_something_changes(connected: Path):
    assert "Nothing to be done" in snakemake("-n", "stage_offline", folder=connected)
    plan = snakemake("-n", "--config", "seed=18", "--", "stage_offline", folder=connected)
    assert "stage_offline" in plan


def test_a_host_without_network_runs_from_the_folder(connected: Path, carried: Path):
    shutil.copy(carried / "offline" / "config.yaml", carried / "config" / "config.yaml")
    run = cut_off(sys.executable, "-m", "snakemake", "--cores", "2", folder=carried)
    assert run.returncode == 0, (run.stdout + run.stderr)[-6000:]
    results = carried / "results" / "far"
    assert (results / "report" / "report.html").stat().st_size > 100_000
    # the same cohort and the same cells as where there was a network
    for name in ("manifest.tsv", "patients.tsv", "cnv.parquet"):
        assert (results / "cohort" / name).read_bytes() == (connected / "results/far/cohort" / name).read_bytes()
    assert len(pd.read_csv(results / "cohort" / "drift.tsv", sep="\t")) == 0
    cells = "results/references/brain/cells.h5ad"
    one, other = anndata.read_h5ad(connected / cells), anndata.read_h5ad(carried / cells)
    pd.testing.assert_frame_equal(one.obs, other.obs)
    assert (one.X != other.X).nnz == 0
    assert np.array_equal(one.var_names, other.var_names)


def test_the_environment_is_made_without_a_network(carried: Path):
    wheels = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(carried / "offline" / "wheels"), "PIP_CONFIG_FILE": os.devnull}
    made = cut_off("python3", "envs/install.py", ".venv", "workflow", folder=carried, **wheels)
    assert made.returncode == 0, made.stderr[-3000:]
    plan = cut_off(".venv/bin/python", "-m", "snakemake", "--version", folder=carried)
    assert plan.stdout.startswith("9."), plan.stderr


def test_a_damaged_file_is_found_and_named(carried: Path):
    damaged = next((carried / "offline" / "gdc").rglob("*.svs"))
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    check = subprocess.run(
        ["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=carried / "offline", capture_output=True, text=True
    )
    assert check.returncode
    assert damaged.name in check.stdout
