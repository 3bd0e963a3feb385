"""Tiles against OpenSlide and Pillow: the same pixels, decoded once, whatever codec, level, position and thread."""

from pathlib import Path

import numpy as np
import openslide
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pathgptomic.slides.grid import Grid, lay_grid
from pathgptomic.slides.reader import Slide
from pathgptomic.slides.synthetic import write_slide
from pathgptomic.slides.tiff import TiledLevel
from pathgptomic.slides.tiles import _Once, resample, stream


def pixels_of_openslide(path: Path, level: int, x: int, y: int, side: int) -> np.ndarray:
    with openslide.OpenSlide(path) as slide:
        scale = round(slide.level_downsamples[level])
        return np.asarray(slide.read_region((x * scale, y * scale), level, (side, side)).convert("RGB"))


def grid_at(slide: Slide, level: int, side: int, origins: list[tuple[int, int]], size: int | None = None) -> Grid:
    at = np.array(origins, np.int64)
    return Grid(level, side, size or side, 1.0, at, np.round(at * slide.levels[level].downsample).astype(int), side)


def tiles_of(slide: Slide, grid: Grid, **options) -> np.ndarray:
    batches = list(stream(slide, grid, **options))
    assert np.array_equal(np.concatenate([batch.index for batch in batches]), np.arange(len(grid)))
    return np.concatenate([batch.tiles for batch in batches])


@pytest.mark.parametrize("name", ["jpeg-rgb", "jpeg-420", "jpeg2000", "generic", "20x"])
def test_decoded_pixels_are_those_of_openslide(slides, name: str):
    # aligned with the compressed tiles, across four of them, at the right and lower edge
    with Slide(slides[name]) as slide:
        assert slide.tiled(0) is not None, "the fast path must be the one that is tested"
        width, height = slide.levels[0].width, slide.levels[0].height
        origins = [(0, 0), (256, 256), (131, 77), (width - 300, height - 300)]
        found = tiles_of(slide, grid_at(slide, 0, 300, origins))
    for (x, y), tile in zip(origins, found, strict=True):
        assert np.array_equal(tile, pixels_of_openslide(slides[name], 0, x, y, 300))


def test_pixels_of_a_lower_level_are_those_of_openslide(slides):
    with Slide(slides["jpeg-420"]) as slide:
        assert slide.levels[1].downsample == pytest.approx(4, abs=1e-9)
        found = tiles_of(slide, grid_at(slide, 1, 100, [(0, 0), (211, 130)]))
    for (x, y), tile in zip([(0, 0), (211, 130)], found, strict=True):
        assert np.array_equal(tile, pixels_of_openslide(slides["jpeg-420"], 1, x, y, 100))


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_any_square_has_the_pixels_of_openslide(slides, data):
    with Slide(slides["generic"]) as slide:
        side = data.draw(st.integers(1, 600))
        x = data.draw(st.integers(0, slide.levels[0].width - side))
        y = data.draw(st.integers(0, slide.levels[0].height - side))
        tile = tiles_of(slide, grid_at(slide, 0, side, [(x, y)]))[0]
    assert np.array_equal(tile, pixels_of_openslide(slides["generic"], 0, x, y, side))


def test_both_ways_of_reading_give_the_same_resampled_tiles(slides, monkeypatch: pytest.MonkeyPatch):
    with Slide(slides["jpeg-420"]) as slide:
        grid = lay_grid(slide, slide_mpp=0.2525, mpp=0.5, size=224, stride=200)
        assert grid.side != 2 * grid.size  # resampling is not a plain halving
        fast = tiles_of(slide, grid)
        monkeypatch.setattr(Slide, "tiled", lambda self, level: None)
        assert np.array_equal(tiles_of(slide, grid), fast)


def test_threads_and_batches_change_nothing(slides):
    with Slide(slides["jpeg-rgb"]) as slide:
        grid = lay_grid(slide, slide_mpp=0.25, mpp=0.5, size=160, stride=97)
        once = tiles_of(slide, grid)
        assert len(once) > 20
        assert np.array_equal(tiles_of(slide, grid, threads=3, batch=5), once)


def test_each_compressed_tile_is_decoded_once_and_dropped(slides, monkeypatch: pytest.MonkeyPatch):
    decoded: list[int] = []
    decode = TiledLevel.tile
    monkeypatch.setattr(TiledLevel, "tile", lambda self, index: decoded.append(index) or decode(self, index))
    with Slide(slides["jpeg-420"]) as slide:
        grid = lay_grid(slide, slide_mpp=0.25, mpp=0.5, size=100, stride=50)
        tiles_of(slide, grid, threads=2, batch=7)
    assert len(decoded) == len(set(decoded)) > 30


@pytest.mark.parametrize("side", [507, 512, 448, 300])
def test_the_filter_is_pillows_antialiased_bilinear(side: int):
    picture = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    expected = np.asarray(Image.fromarray(picture).resize((256, 256), Image.Resampling.BILINEAR)).astype(int)
    found = resample(picture[None], 256)[0].astype(int)
    assert abs(found - expected).max() <= 1
    assert (found != expected).mean() < 0.05


def test_tiles_of_the_right_size_are_not_touched():
    tiles = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    assert resample(tiles, 64) is tiles


@settings(max_examples=60, deadline=None)
@given(slide_mpp=st.floats(0.2, 0.55), mpp=st.sampled_from([0.5, 1.0, 2.0]), size=st.integers(64, 300), data=st.data())
def test_a_grid_stays_inside_and_does_not_drift(slides, slide_mpp: float, mpp: float, size: int, data):
    stride = data.draw(st.integers(size // 2, 2 * size))
    with Slide(slides["jpeg-420"]) as slide:
        grid = lay_grid(slide, slide_mpp=slide_mpp, mpp=mpp, size=size, stride=stride)
        level = slide.levels[grid.level]
    if not len(grid):
        return
    assert (grid.origins >= 0).all()
    assert (grid.origins + grid.side <= (level.width, level.height)).all()
    assert grid.mpp == pytest.approx(mpp, rel=0.5 / size * 3)
    ideal = stride * mpp / (slide_mpp * level.downsample)
    columns = np.unique(grid.origins[:, 0])
    assert abs(columns - ideal * np.arange(len(columns))).max() <= 0.5
    # what is left over at the right edge is less than one step and one tile
    assert columns[-1] + ideal + grid.side > level.width - 1


def test_memory_holds_a_row_of_compressed_tiles_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path, held = tmp_path / "tall.svs", [0]
    write_slide(path, width=1536, height=9216, codec="jpeg-420", seed=1, levels=(4,), pen=False)
    release = _Once.release

    def watched(self: _Once, cells: list[int]) -> None:
        held[0] = max(held[0], len(self._tiles))
        release(self, cells)

    monkeypatch.setattr(_Once, "release", watched)
    with Slide(path) as slide:
        columns = slide.tiled(0).columns
        grid = lay_grid(slide, slide_mpp=0.25, mpp=0.5, size=200, stride=200)
        assert len(grid) > 20 * columns // 2
        tiles_of(slide, grid, batch=3)
    # a row of output tiles, 400 pixels high, touches three rows of compressed ones of 256
    assert held[0] <= 3 * columns
