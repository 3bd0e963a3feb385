"""The images with Snakemake's `script:`: as many steps of the demo as images were built. Run by `make cluster`."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.cluster import apptainer
from tests.cluster.test_slurm import SMALL
from tests.workflow.test_workflow import copy_clone

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(tempfile.gettempdir()) / "pathgptomic-apptainer"
# what each further image makes possible
TARGETS = {
    "cohort": "results/demo-tables/cohort/splits.tsv",
    "survival": "results/demo-tables/models/clinical/predictions.tsv",
    "report": "results/demo-tables/evaluation/metrics.tsv",
}


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """Environment variables with which Apptainer works."""
    if os.geteuid() or not shutil.which("apt-get"):
        pytest.skip("an Apptainer of our own needs root and Debian's packages")
    try:
        programs = apptainer.install(FOLDER)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"Apptainer cannot be installed here: {error}")
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    return os.environ | {"PATH": path, "APPTAINER_USERNS": "1"}


def test_steps_of_the_demo_run_in_their_images(environment: dict[str, str], tmp_path: Path):
    clone = copy_clone(tmp_path / "clone")
    (clone / "config" / "config.yaml").write_text(SMALL)
    target = None
    for stage, output in TARGETS.items():
        image = ROOT / "containers" / f"{stage}.sif"
        if not image.exists():
            break
        shutil.copy(image, clone / "containers")
        target = output
    if target is None:
        pytest.skip("no image of the stage cohort; `make containers` builds it")
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--sdm", "apptainer", "--", target]
    run = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, timeout=1800)
    assert run.returncode == 0, (run.stdout + run.stderr)[-6000:]
    assert "Activating singularity image" in run.stdout + run.stderr
    assert (clone / target).stat().st_size
