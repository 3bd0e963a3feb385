"""The images of all stages with a real Apptainer: the small demo in them, here and on Slurm. Run by `make cluster`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pathgptomic.deployment import images
from tests.cluster.runs import ROOT, jobs, run, small_clone

pytestmark = pytest.mark.cluster
IMAGES = images(str(ROOT / "containers"))


@pytest.fixture
def clone(programs: Path, tmp_path: Path) -> Path:
    """Return a clone that runs in the images of this one."""
    if missing := [name for name, path in IMAGES.items() if not Path(path).exists()]:
        pytest.skip(f"no image of {', '.join(missing)}; `make containers` builds them (BASE=debian without a registry)")
    return small_clone(tmp_path / "clone", f"containers: {ROOT / 'containers'}", "transfer: local")


def test_the_demo_runs_in_its_images(programs: Path, clone: Path):
    targets = ["results/demo/report/report.html", "results/demo/genomics/scgpt/backends.tsv"]
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--sdm", "apptainer", "--", *targets]
    environment = os.environ | {"PATH": path}
    result = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, timeout=2400)
    output = result.stdout + result.stderr
    assert result.returncode == 0, output[-6000:]
    for name, image in IMAGES.items():
        assert f"Activating singularity image {image}" in output, name
    for target in targets:
        assert (clone / target).stat().st_size


def test_jobs_on_slurm_run_in_their_images(cluster: Path, programs: Path, clone: Path):
    # the profile turns images on by itself where it finds Apptainer
    target = "results/demo/models/clinical/predictions.tsv"
    run("--", target, folder=clone, programs=programs)
    assert (clone / target).stat().st_size
    rows = jobs(clone)
    assert {row["State"] for row in rows} == {"COMPLETED"}
    rules = {row["Comment"].split("_wildcards_")[0].removeprefix("rule_") for row in rows}
    assert {"simulate_mirror", "build_gdc_cohort", "make_splits", "train_model"} <= rules
    # they ran beside Snakemake, as `transfer: local` says
    assert not rules & {"lock_cohort", "fetch_files"}
    assert (clone / "results" / "demo" / "cohort" / "fetched.tsv").exists()
