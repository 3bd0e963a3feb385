"""Broken files: what OpenSlide says, what we say; no grey tile passes, and a good read after a bad one is right."""

import os
import shutil
from pathlib import Path

import numpy as np
import openslide
import pytest

from pathgptomic.slides.grid import Grid, lay_grid
from pathgptomic.slides.overview import Overview, read_overview
from pathgptomic.slides.reader import Slide, SlideError
from pathgptomic.slides.survey import TileSettings, survey
from pathgptomic.slides.synthetic import write_slide
from pathgptomic.slides.tiles import stream
from pathgptomic.slides.tissue import TissueSettings, find_tissue
from tests.unit.slides import damage

BAD = 20  # number of the damaged compressed tile: row 2, column 2 of 9


def read_all(path: Path) -> tuple[np.ndarray, np.ndarray, Grid]:
    """Return tiles (missing ones as -1), the unreadable positions, and the grid of all tiles of 256 pixels."""
    with Slide(path) as slide:
        grid = lay_grid(slide, slide_mpp=0.25, mpp=0.25, size=256, stride=256)
        tiles = np.full((len(grid), 256, 256, 3), -1, np.int16)
        bad = []
        for batch in stream(slide, grid, batch=7):
            tiles[batch.index] = batch.tiles
            bad.append(batch.unreadable)
    return tiles, np.concatenate(bad), grid


@pytest.mark.parametrize("change", [damage.noise, damage.zeros, damage.cut, damage.bomb])
@pytest.mark.parametrize("codec", ["jpeg-rgb", "jpeg-420"])
def test_a_damaged_jpeg_tile_is_found_and_the_others_are_right(slides, tmp_path: Path, codec: str, change):
    path = tmp_path / "bad.svs"
    damage.overwrite_tile(slides[codec], path, BAD, change)
    with openslide.OpenSlide(path) as handle:
        width = -(-handle.dimensions[0] // 256)
        row, column = divmod(BAD, width)
        if change is not damage.bomb:  # OpenSlide would try to allocate it
            with pytest.raises(openslide.OpenSlideError):
                handle.read_region((column * 256, row * 256), 0, (256, 256))
            # and then it fails for ever, which is why our reader opens the file anew
            with pytest.raises(openslide.OpenSlideError):
                handle.read_region((0, 0), 0, (256, 256))
    sound, none, grid = read_all(slides[codec])
    tiles, bad, _ = read_all(path)
    assert not len(none)
    assert len(bad) == 1
    assert tuple(grid.origins[bad[0]]) == (column * 256, row * 256)
    others = np.arange(len(grid)) != bad[0]
    assert np.array_equal(tiles[others], sound[others])


@pytest.mark.parametrize("index", [20, 21, 22, 29, 30, 31])
def test_a_damage_that_the_codec_cannot_see_gives_the_pixels_of_openslide(slides, tmp_path: Path, index: int):
    # JPEG has no checksum: two changed bytes may still make a valid stream, for every decoder alike
    path = tmp_path / "bad.svs"
    damage.overwrite_tile(slides["jpeg-420"], path, index, damage.flipped)
    tiles, bad, grid = read_all(path)
    with openslide.OpenSlide(path) as handle:
        row, column = divmod(index, -(-handle.dimensions[0] // 256))
        try:
            expected = np.asarray(handle.read_region((column * 256, row * 256), 0, (256, 256)).convert("RGB"))
        except openslide.OpenSlideError:
            expected = np.full((256, 256, 3), -1)
    at = np.flatnonzero((grid.origins == (column * 256, row * 256)).all(axis=1))[0]
    assert np.array_equal(tiles[at], expected)
    assert set(bad) <= {at}


def test_reading_by_openslide_goes_on_after_a_damaged_tile(slides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "bad.svs"
    damage.overwrite_tile(slides["jpeg-420"], path, BAD, damage.cut)
    sound, _, _ = read_all(slides["jpeg-420"])
    monkeypatch.setattr(Slide, "tiled", lambda self, level: None)
    tiles, bad, grid = read_all(path)
    assert len(bad) == 1
    others = np.arange(len(grid)) != bad[0]
    assert np.array_equal(tiles[others], sound[others])


@pytest.mark.parametrize("change", [damage.noise, damage.zeros, damage.cut])
def test_a_damaged_jpeg2000_tile_is_found(slides, tmp_path: Path, change):
    path = tmp_path / "bad.svs"
    damage.overwrite_tile(slides["jpeg2000"], path, BAD, change)
    assert len(read_all(path)[1]) == 1


def test_a_slide_with_many_damaged_tiles_fails_and_one_with_a_single_one_does_not(slides, tmp_path: Path):
    # the overview comes from a sound level of the pyramid
    path = tmp_path / "one.svs"
    damage.overwrite_tile(slides["jpeg-420"], path, BAD, damage.noise)
    with Slide(path) as slide:
        assert len(survey(slide, TileSettings(224, 224, 0.5)).grid)


def test_a_damaged_level_of_the_pyramid_is_replaced_by_a_finer_one(slides, tmp_path: Path):
    import tifffile

    path = tmp_path / "pyramid.svs"
    shutil.copy(slides["jpeg-420"], path)
    with tifffile.TiffFile(path) as tif:
        smallest = [page for page in tif.pages if page.is_tiled][-1]
        offset, length = smallest.dataoffsets[0], smallest.databytecounts[0]
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(bytes(length))
    with Slide(slides["jpeg-420"]) as slide:
        sound = read_overview(slide, slide_mpp=0.25)
    with Slide(path) as slide:
        found = read_overview(slide, slide_mpp=0.25)
    assert found.scale == pytest.approx(sound.scale, rel=0.02)
    height, width = (min(a, b) for a, b in zip(found.picture.shape[:2], sound.picture.shape[:2], strict=True))
    both = [find_tissue(Overview(o.picture[:height, :width], o.scale, o.mpp), TissueSettings()) for o in (sound, found)]
    assert (both[0] & both[1]).sum() > 0.95 * (both[0] | both[1]).sum()


def lost_tiles(path: Path) -> int:
    """Return how many tiles of a slide do not decode, -1 if it is refused as a whole with its name in the reason."""
    try:
        with Slide(path) as slide:
            grid = survey(slide, TileSettings(224, 224, 0.5, minimum_tissue=0)).grid
            return sum(len(batch.unreadable) for batch in stream(slide, grid))
    except SlideError as error:
        return -1 if path.name in str(error) else 0


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6])
def test_a_truncated_file_is_refused_or_its_lost_tiles_are_known(slides, tmp_path: Path, share: float):
    path = tmp_path / "short.svs"
    damage.truncated(slides["jpeg-420"], path, share)
    assert lost_tiles(slides["jpeg-420"]) == 0
    assert lost_tiles(path) != 0


def test_a_header_of_a_million_pixels_a_side_is_refused_at_once(slides, tmp_path: Path):
    path = tmp_path / "huge.svs"
    damage.huge_header(slides["jpeg-420"], path)
    with pytest.raises(SlideError, match=r"huge\.svs"), Slide(path) as slide:
        survey(slide, TileSettings(224, 224, 0.5))


def test_files_that_are_no_slides_are_refused_with_the_reason(slides, tmp_path: Path):
    (tmp_path / "empty.svs").touch()
    (tmp_path / "text.svs").write_text("not a slide\n" * 50)
    (tmp_path / "dangling.svs").symlink_to(tmp_path / "gone.svs")
    expected = {
        "empty.svs": "is empty",
        "text.svs": "in no slide format",
        "dangling.svs": "a link to a file that does not exist",
        "absent.svs": "is not a file",
        ".": "is not a file",
    }
    for name, reason in expected.items():
        with pytest.raises(SlideError, match=reason):
            Slide(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused_with_the_reason(slides, tmp_path: Path):
    damage.unreadable(slides["20x"], tmp_path / "secret.svs")
    with pytest.raises(SlideError, match="may not be read"):
        Slide(tmp_path / "secret.svs")


def test_a_link_to_a_slide_is_read(slides, tmp_path: Path):
    (tmp_path / "link.svs").symlink_to(slides["20x"])
    with Slide(tmp_path / "link.svs") as slide:
        assert slide.vendor == "aperio"


def test_a_slide_of_one_level_and_odd_size_is_read(tmp_path: Path):
    path = tmp_path / "flat.svs"
    write_slide(path, width=2777, height=1913, levels=(), seed=4, layout="generic")
    with Slide(path) as slide:
        assert len(slide.levels) == 1
        seen = survey(slide, TileSettings(224, 224, 0.5))
        assert len(seen.grid) > 5
        # the overview of a slide without a pyramid is the mean of its pixels
        side = round(seen.overview.scale)
        corner = slide.read(0, 0, 0, side, side).reshape(-1, 3).mean(axis=0)
        assert abs(corner - seen.overview.picture[0, 0]).max() <= 1


def test_a_slide_without_tissue_has_no_tiles(tmp_path: Path):
    path = tmp_path / "glass.svs"
    write_slide(path, width=2048, height=2048, tissue=0, pen=False, seed=4)
    with Slide(path) as slide:
        seen = survey(slide, TileSettings(224, 224, 0.5))
    assert not seen.tissue.any()
    assert not len(seen.grid)
