"""One batch of bad files of every kind between two good ones: what OpenSlide says, what we say, how the batch ends."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
import openslide
import pandas as pd
import pytest

from pathgptomic.slides.synthetic import write_slide
from tests.unit.slides import damage

# name -> status and what its reason says; "first" and "last" are the same sound slide
EXPECTED = {
    "a-first": ("ok", ""),
    "b-empty": ("failed", "is empty"),
    "c-text": ("failed", "in no slide format"),
    "d-short": ("failed", "in no slide format"),
    "e-huge": ("failed", "states 1000000 x 1000000 pixels|does not open"),
    "f-bomb": ("ok", ""),
    "g-corrupt": ("ok", ""),
    "h-noise": ("failed", "do not decode|no level that can be read"),
    "i-glass": ("empty", "no tile passed"),
    "j-silent": ("skipped", "neither microns per pixel nor an objective power"),
    "k-coarse": ("skipped", "coarser than the 0.5 asked for"),
    "l-dangling": ("failed", "a link to a file that does not exist"),
    "m-loop": ("failed", "a link to a file that does not exist|is not a file"),
    "n-folder": ("failed", "is not a file"),
    "o-absent": ("failed", "is not a file"),
    "p-flat": ("ok", ""),
    "q-link": ("ok", ""),
    "r-last": ("ok", ""),
}
OPENSLIDE_REFUSES = ("b-empty", "c-text", "d-short", "l-dangling", "m-loop", "n-folder", "o-absent")


@pytest.fixture(scope="module")
def hostile(slides, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write every file of the table above."""
    folder = tmp_path_factory.mktemp("hostile")
    sound, at = folder / "sound", {name: folder / f"{name}.svs" for name in EXPECTED}
    write_slide(sound, width=2100, height=1700, codec="jpeg-420", seed=1, tissue=0.7, pen=False)
    for name in ("a-first", "r-last"):
        at[name].write_bytes(sound.read_bytes())
    at["b-empty"].touch()
    at["c-text"].write_text("not a slide\n" * 50)
    damage.truncated(sound, at["d-short"], 0.3)
    damage.huge_header(sound, at["e-huge"])
    damage.overwrite_tile(sound, at["f-bomb"], 20, damage.bomb)
    damage.overwrite_tile(sound, at["g-corrupt"], 20, damage.cut)
    damage.overwrite_tile(sound, at["h-noise"], 0, damage.noise)
    for index in range(1, 63):
        damage.overwrite_tile(at["h-noise"], folder / "next", index, damage.noise)
        (folder / "next").rename(at["h-noise"])
    write_slide(at["i-glass"], width=1024, height=1024, tissue=0, pen=False, seed=4)
    write_slide(at["j-silent"], width=700, height=700, state_mpp=False, state_power=False)
    write_slide(at["k-coarse"], width=700, height=700, mpp=1.0)
    at["l-dangling"].symlink_to(folder / "gone.svs")
    at["m-loop"].symlink_to(at["m-loop"])
    at["n-folder"].mkdir()
    write_slide(at["p-flat"], width=1777, height=1213, levels=(), seed=4, layout="generic")
    at["q-link"].symlink_to(slides["20x"])
    return folder


@pytest.fixture(scope="module")
def outcome(root: Path, hostile: Path) -> tuple[pd.DataFrame, Path]:
    """Run the command on all of them, within a time limit."""
    paths = [str(hostile / f"{name}.svs") for name in EXPECTED]
    run = subprocess.run(
        [sys.executable, "-m", "pathgptomic.slides", *paths, "--out", "made", "--device", "cpu", "--threads", "1"],
        cwd=hostile,
        env=os.environ | {"PYTHONPATH": str(root / "scripts")},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert run.returncode == 1, run.stderr[-3000:]
    return pd.read_csv(hostile / "made" / "slides.tsv", sep="\t", index_col="slide_id"), hostile / "made"


@pytest.mark.parametrize("name", EXPECTED)
def test_every_file_has_its_verdict(outcome, name: str):
    status, reason = EXPECTED[name]
    row = outcome[0].loc[name]
    assert row["status"] == status
    said = "" if pd.isna(row["reason"]) else row["reason"]
    assert re.search(reason, said) if reason else not said
    assert "Error" not in said  # a reason is a sentence, not the name of an exception


def test_a_damaged_tile_costs_that_tile_and_is_counted(outcome):
    table, _ = outcome
    whole = table.loc["a-first", ["tiles", "pen", "fold", "background", "blur", "unreadable"]].sum()
    for name in ("f-bomb", "g-corrupt"):
        assert 1 <= table.loc[name, "unreadable"] <= 4  # output tiles over one compressed tile
        assert table.loc[name, ["tiles", "pen", "fold", "background", "blur", "unreadable"]].sum() == whole


def test_the_good_slide_after_the_bad_ones_is_read_as_before_them(outcome):
    _, made = outcome
    with h5py.File(made / "embedded" / "a-first.h5") as first, h5py.File(made / "embedded" / "r-last.h5") as last:
        assert len(first["features"]) > 5
        for name in ("features", "coords"):
            assert np.array_equal(first[name][...], last[name][...])


@pytest.mark.parametrize("name", OPENSLIDE_REFUSES)
def test_what_openslide_refuses_is_refused(hostile: Path, name: str):
    with pytest.raises((openslide.OpenSlideError, openslide.OpenSlideUnsupportedFormatError, OSError)):
        openslide.OpenSlide(hostile / f"{name}.svs")


@pytest.mark.parametrize("name", ["e-huge", "f-bomb", "g-corrupt", "h-noise"])
def test_what_openslide_opens_without_a_word_is_found_by_us(hostile: Path, name: str):
    # it says nothing before the damaged place is read
    try:
        openslide.OpenSlide(hostile / f"{name}.svs").close()
    except openslide.OpenSlideError:
        assert EXPECTED[name][0] == "failed"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_a_file_that_may_not_be_read_is_refused_with_the_reason(root: Path, slides):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        damage.unreadable(slides["20x"], Path(folder) / "secret.svs")
        # what Python itself reads may be closed to others, so the file alone is opened as somebody else
        code = "import os, sys; from pathgptomic.slides.reader import Slide; os.seteuid(65534); Slide(sys.argv[1])"
        run = subprocess.run(
            [sys.executable, "-c", code, f"{folder}/secret.svs"],
            env=os.environ | {"PYTHONPATH": str(root / "scripts")},
            capture_output=True,
            text=True,
        )
    assert run.returncode == 1
    assert "secret.svs may not be read: Permission denied" in run.stderr.splitlines()[-1]
