"""A run with a GDC token: what it leaves behind, and what other users of the host can see while it runs."""

import gzip
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pathgptomic.cohort.simulate.mirror import simulate_mirror
from tests.unit.cohort.gdc_server import FakeGdc, serve
from tests.workflow.test_workflow import copy_clone

TOKEN = "-".join(("marker", "5f1c9b", "token", "that", "nobody", "may", "see"))  # not as one text, this file is copied
CONFIG = """\
cohorts: [far]
gdc: {{base_url: "{url}", attempts: 2, timeout_s: 20{token}}}
survival: {{models: {{clinical: {{modalities: [clinical]}}}}}}
"""
COHORT = """\
title: Files under controlled access
source: gdc
gdc: {projects: [SIMU]}
modalities: [clinical, expression]
covariates: {age: numeric}
splits: {scheme: kfold, folds: 2, inner_folds: 2}
"""


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of a GDC."""
    folder = tmp_path_factory.mktemp("gdc")
    simulate_mirror(
        settings={"patients": 6, "genes": 120, "slide_pixels": 256},
        seed=1,
        threads=1,
        mirror_out=str(folder / "mirror"),
        truth_out=str(folder / "truth.json"),
        hazards_out=str(folder / "hazards.tsv"),
    )
    return folder / "mirror"


def gdc_of(mirror: Path) -> FakeGdc:
    """Return a GDC whose expression files are under controlled access."""
    gdc = FakeGdc(token=TOKEN)
    for kind in ("files", "cases"):
        with gzip.open(mirror / "answers" / f"{kind}.json.gz") as handle:
            gdc.hits[kind] = json.load(handle)["data"]["hits"]
    for hit in gdc.hits["files"]:
        if hit["data_type"] == "Gene Expression Quantification":
            hit["access"] = "controlled"
            gdc.controlled.add(hit["file_id"])
        path = mirror / hit["file_id"] / hit["file_name"]
        gdc.files[hit["file_id"]] = (hit["file_name"], path.read_bytes())
    return gdc


class Watcher(threading.Thread):
    """Looks at the command lines of all processes until it is told to stop."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self.looks, self.seen, self.ours = 0, set(), 0

    def run(self) -> None:
        while not self.ended.wait(0.02):
            self.looks += 1
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    line = path.read_bytes()
                except OSError:
                    continue
                self.ours += b"snakemake" in line
                if TOKEN.encode() in line:
                    self.seen.add(line)


def holding(folder: Path) -> list[str]:
    """Return the files below a folder that hold the token, hidden ones too."""
    found = [path for path in folder.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    return sorted(str(path.relative_to(folder)) for path in found)


@pytest.mark.parametrize("way", ["token_file", "GDC_TOKEN_FILE", "GDC_TOKEN", "refused"])
def test_a_token_is_used_and_left_nowhere(mirror: Path, tmp_path: Path, way: str):
    clone = copy_clone(tmp_path / "clone")
    (clone / "config" / "cohorts" / "far.yaml").write_text(COHORT)
    secret = tmp_path / "secret"
    secret.write_text(f"{TOKEN}\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GDC_")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    if way.startswith("GDC"):
        environment[way] = TOKEN if way == "GDC_TOKEN" else str(secret)
    gdc = gdc_of(mirror)
    if way == "refused":
        gdc.token = "another"  # the server says no, and the failure is logged
    watcher = Watcher()
    with serve(gdc):
        named = f", token_file: {secret}" if not way.startswith("GDC") else ""
        (clone / "config" / "config.yaml").write_text(CONFIG.format(url=gdc.url, token=named))
        watcher.start()
        command = [sys.executable, "-m", "snakemake", "--cores", "1", "-p", "--verbose", "fetch"]
        run = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True)
        watcher.ended.set()
        watcher.join()
    tokens = {request.token for request in gdc.log}
    assert tokens == {TOKEN}  # it did its work
    assert (run.returncode == 0) == (way != "refused"), run.stderr[-3000:]
    assert TOKEN not in run.stdout + run.stderr
    assert holding(clone) == []
    assert watcher.looks > 20
    assert watcher.ours
    assert not watcher.seen
