"""``python -m pathgptomic.slides`` as a user runs it: from a slide file to features, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import pandas as pd
import yaml

from pathgptomic.slides.__main__ import SETTINGS


def command(root: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "pathgptomic.slides", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(root / "scripts")},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_a_slide_becomes_features_and_a_bad_one_is_named(root: Path, slides, tmp_path: Path):
    run = command(root, tmp_path, str(slides["20x"]), "gone.svs", "--out", "made", "--device", "cpu")
    assert run.returncode == 1, run.stderr
    table = pd.read_csv(tmp_path / "made" / "slides.tsv", sep="\t", index_col="slide_id")
    assert table["status"].to_dict() == {"20x": "ok", "gone": "failed"}
    assert "gone.svs is not a file" in table.loc["gone", "reason"]
    with h5py.File(tmp_path / "made" / "embedded" / "20x.h5") as file:
        assert file["features"].shape == (table.loc["20x", "tiles"], 1280)
    for part in ("overlays/20x.jpg", "thumbnails/20x.jpg", "tissue/20x.geojson"):
        assert (tmp_path / "made" / part).stat().st_size > 100
    assert "gone: failed" in run.stderr
    assert f"20x: ok {int(table.loc['20x', 'tiles'])} tiles in made/embedded/20x.h5" in run.stderr


def test_what_cannot_be_is_said_in_one_sentence(root: Path, slides, tmp_path: Path):
    path = str(slides["20x"])
    for arguments, sentence in {
        (path, path): "two slides are named 20x",
        (path, "--encoder", "uni"): "uni needs its weights",
        (path, "--mpp", "0"): "gives slide 20x the mpp",
    }.items():
        run = command(root, tmp_path, *arguments)
        assert run.returncode == 2
        assert sentence in run.stderr.splitlines()[-1]


def test_its_settings_are_the_defaults_of_the_workflow(root: Path):
    schema = yaml.safe_load((root / "config" / "schemas" / "slides.schema.yaml").read_text())["config"]["properties"]
    for name, value in SETTINGS.items():
        if name not in ("select", "batches"):  # every kind of slide, in one batch
            nested = {key: each["default"] for key, each in schema[name].get("properties", {}).items()}
            assert value in (nested or schema[name]["default"], {}), name
