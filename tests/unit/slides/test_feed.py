"""The process that reads slides: every slide ends in a verdict, whatever it does to the process that reads it."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import openslide
import pytest

from pathgptomic.slides.feed import ENDS, Job, feed
from pathgptomic.slides.reader import Slide
from pathgptomic.slides.survey import TileSettings, judge, survey
from pathgptomic.slides.tiles import stream

SETTINGS = {"size": 224, "stride": 224, "mpp": 0.5}
# a decoder that crashes or hangs on files of these names, for the process that reads and for no other
TRAP = """
import os, signal, time
import openslide
detect = openslide.OpenSlide.detect_format
def trapped(path):
    if "crash" in path:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "hang" in path:
        time.sleep(600)
    return detect(path)
openslide.OpenSlide.detect_format = trapped
"""


def job(path: Path, folder: Path, mpp: float | None = None) -> Job:
    return Job(path.stem, str(path), mpp, str(folder))


def expected_tiles(path: Path) -> tuple[np.ndarray, np.ndarray]:
    settings = TileSettings(**SETTINGS)
    with Slide(path) as slide:
        seen = survey(slide, settings)
        batches = list(stream(slide, seen.grid))
    tiles = np.concatenate([batch.tiles for batch in batches])
    kept = judge(tiles, seen.glass, settings.quality) == ""
    return tiles[kept], seen.grid.coords[kept]


def test_every_slide_ends_in_a_verdict_and_good_ones_come_whole(
    slides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "trap").mkdir()
    (tmp_path / "trap" / "sitecustomize.py").write_text(TRAP)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "trap"))
    paths = [slides["jpeg-420"]]
    for name in ("crash", "hang", "empty"):
        (tmp_path / f"{name}.svs").touch()
        if name != "empty":
            (tmp_path / f"{name}.svs").write_bytes(slides["20x"].read_bytes())
        paths.append(tmp_path / f"{name}.svs")
    paths += [slides["20x"], slides["jpeg2000"]]
    tiles, coords, verdicts = defaultdict(list), defaultdict(list), {}
    # patience must outlast the start of a process, so the hang is what takes the time
    for message in feed([job(p, tmp_path) for p in paths], SETTINGS, batch=5, threads=2, patience_s=40):
        if message.event == "tiles":
            assert len(message.tiles) <= 5
            tiles[message.slide_id].append(message.tiles.copy())
            coords[message.slide_id] += message.content["coords"]
        if message.event in ENDS:
            verdicts[message.slide_id] = (message.event, message.content.get("reason", ""))
    assert list(verdicts) == [path.stem for path in paths]
    assert verdicts["crash"] == ("failed", "the process that read the slide ended with signal SIGSEGV")
    assert "given up after 40 s" in verdicts["hang"][1]
    assert "is empty" in verdicts["empty"][1]
    for name in ("jpeg-420", "20x", "jpeg2000"):
        assert verdicts[name] == ("done", "")
        pictures, places = expected_tiles(slides[name])
        assert np.array_equal(np.concatenate(tiles[name]), pictures)
        assert np.array_equal(coords[name], places)
        assert (tmp_path / "overlays" / f"{name}.jpg").is_file()
        assert (tmp_path / "tissue" / f"{name}.geojson").is_file()


def test_every_tile_of_tissue_is_counted_under_its_fate(large, tmp_path: Path):
    path, _ = large
    messages = list(feed([job(path, tmp_path)], SETTINGS, batch=16, threads=1, patience_s=60))
    assert messages[-1].event == "done"
    settings = TileSettings(**SETTINGS)
    with Slide(path) as slide:
        seen = survey(slide, settings)
        expected = {reason: len(coords) for reason, coords in seen.left_out.items()}
        judged = np.concatenate([judge(each.tiles, seen.glass, settings.quality) for each in stream(slide, seen.grid)])
    expected |= {reason: int((judged == reason).sum()) for reason in ("background", "blur")}
    assert min(expected["pen"], expected["blur"]) > 0
    assert messages[-1].content["left_out"] == expected | {"unreadable": 0}
    assert sum(len(each.content["coords"]) for each in messages if each.event == "tiles") == (judged == "").sum()


def test_label_and_macro_pictures_are_never_read(slides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # they may show a name: nothing asks for them, and no page of the file but its levels is decoded
    (tmp_path / "sitecustomize.py").write_text(
        "import openslide, tifffile\n"
        "def forbidden(*_, **__):\n    raise SystemError('a label was read')\n"
        "openslide.OpenSlide.associated_images = property(forbidden)\n"
        "tifffile.TiffPage.asarray = tifffile.TiffFile.asarray = forbidden\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    jobs = [job(slides[name], tmp_path) for name in ("jpeg-420", "jpeg2000")]
    events = [m.event for m in feed(jobs, SETTINGS, batch=8, threads=1, patience_s=60) if m.event in ENDS]
    assert events == ["done", "done"]
    for name in ("jpeg-420", "jpeg2000"):
        with Slide(slides[name]) as slide, openslide.OpenSlide(slides[name]) as handle:
            assert {"label", "macro"} <= set(handle.associated_images)
            levels = {(level.width, level.height) for level in slide.levels}
            assert set(slide._tiff.levels) <= levels
