"""`--sdm conda` through Snakemake's own code, with a stand-in for the program that no channel is needed for."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.environments import conda
from tests.unit.test_environments import read
from tests.workflow.test_workflow import copy_clone

TARGET = "resources/demo-tables/clinical.tsv"


@pytest.mark.environments
def test_a_rule_runs_in_the_conda_environment_of_its_stage(tmp_path: Path):
    clone = copy_clone(tmp_path / "clone")
    programs = conda.place(tmp_path / "conda")
    environment = os.environ | {"PATH": os.pathsep.join([str(programs), os.environ["PATH"]])}

    def run(*targets: str) -> str:
        chosen = ["--config", "cohorts=[demo-tables]", "--sdm", "conda", "--cores", "1", "--", *targets]
        result = subprocess.run(
            [sys.executable, "-m", "snakemake", *chosen], cwd=clone, env=environment, capture_output=True, text=True
        )
        assert result.returncode == 0, (result.stdout + result.stderr)[-6000:]
        return result.stdout + result.stderr

    folder = clone / re.search(r"Activating conda environment: (\S+)", run(TARGET))[1]
    assert (clone / TARGET).stat().st_size
    packages = {path.name.partition(".dist-info")[0].lower() for path in folder.rglob("*.dist-info")}
    wanted = {pin.replace("==", "-").replace("_", "-") for pin in read("cohort")["dependencies"][-1]["pip"]}
    assert wanted <= {name.replace("_", "-") for name in packages}
    assert not any(name.startswith(("snakemake-", "torch-")) for name in packages)

    # the next rule of the stage finds the environment made
    run("results/demo-tables/cohort/splits.tsv")
    calls = (tmp_path / "conda" / "calls.txt").read_text().splitlines()
    assert len([call for call in calls if call.startswith("env create")]) == 1
