"""Tissue and artefacts against the scene that was painted, and on real regions."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pathgptomic.slides.grid import lay_grid
from pathgptomic.slides.overlay import COLOURS, contact_sheet, draw_overlay, write_picture
from pathgptomic.slides.overview import Overview, read_overview
from pathgptomic.slides.quality import artefacts, glass_level, measure, optical_density, pen_mask, share
from pathgptomic.slides.reader import Slide
from pathgptomic.slides.scene import BLUR, FOLD, PEN, PEN_COLOURS, SCALE, TISSUE
from pathgptomic.slides.survey import TileSettings, judge, survey
from pathgptomic.slides.tiles import stream
from pathgptomic.slides.tissue import CLAM, TRIDENT, TissueSettings, find_tissue, polygons, write_geojson

GLASS_COLOUR = np.array([243.0, 243.0, 243.0])


@pytest.fixture(scope="module")
def seen(large):
    path, scene = large
    with Slide(path) as slide:
        overview = read_overview(slide, slide_mpp=0.25)
        return overview, lay_grid(slide, slide_mpp=0.25, mpp=0.5, size=224, stride=64), scene


# CLAM's own limit of area would leave out the islands of so small a slide
@pytest.mark.parametrize("settings", [TissueSettings(), replace(CLAM, specks_um2=40_000), TRIDENT])
def test_tissue_is_found_where_it_was_painted(seen, settings: TissueSettings):
    overview, grid, scene = seen
    painted = share(np.isin(scene.classes, (TISSUE, BLUR, FOLD)), grid, SCALE) >= 0.5
    found = share(find_tissue(overview, settings), grid, overview.scale) >= 0.5
    assert painted.sum() > 40
    assert (found & painted).sum() >= 0.9 * painted.sum()
    assert (found & painted).sum() >= 0.8 * found.sum()


def test_no_tissue_on_glass_even_if_it_is_tinted():
    tinted = np.random.default_rng(0).normal((236, 228, 214), 1.5, (300, 400, 3)).clip(0, 255).astype(np.uint8)
    assert not find_tissue(Overview(tinted, 32, 8.0), TissueSettings()).any()


def test_pale_tissue_on_tinted_glass_is_found():
    picture = np.random.default_rng(0).normal((236, 228, 214), 1.5, (300, 400, 3))
    picture[100:200, 100:300] = np.random.default_rng(1).normal((222, 196, 208), 3, (100, 200, 3))
    mask = find_tissue(Overview(picture.clip(0, 255).astype(np.uint8), 32, 8.0), TissueSettings())
    assert mask[105:195, 105:295].mean() > 0.97
    assert mask[:90].mean() < 0.02


def test_holes_and_specks_are_filled_and_dropped_by_area():
    picture = np.full((200, 200, 3), 243, np.uint8)
    picture[20:180, 20:180] = (200, 120, 190)
    picture[60:64, 60:64] = 243  # 16 pixels of 64 square microns: a hole to fill
    picture[100:140, 100:140] = 243  # a lumen
    picture[5:8, 190:193] = (200, 120, 190)  # dust
    settings = TissueSettings(smooth_um=0, close_um=0, holes_um2=40 * 64, specks_um2=40 * 64)
    mask = find_tissue(Overview(picture, 32, 8.0), settings)
    assert mask[60:64, 60:64].all()
    assert not mask[100:140, 100:140].any()
    assert not mask[5:8, 190:193].any()


def test_polygons_have_the_area_of_the_mask(seen, tmp_path: Path):
    overview, _, _ = seen
    mask = find_tissue(overview, TissueSettings())
    area = 0.0
    for outline, *holes in polygons(mask, overview.scale):
        area += cv2.contourArea(outline.astype(np.float32))
        area -= sum(cv2.contourArea(hole.astype(np.float32)) for hole in holes)
    assert area == pytest.approx(mask.sum() * overview.scale**2, rel=0.05)
    write_geojson(tmp_path / "tissue.geojson", mask, overview.scale)
    content = json.loads((tmp_path / "tissue.geojson").read_text())
    assert content["type"] == "FeatureCollection"
    for feature in content["features"]:
        assert feature["properties"]["objectType"] == "annotation"  # what QuPath calls them
        for ring in feature["geometry"]["coordinates"]:
            assert ring[0] == ring[-1]
            assert len(ring) >= 4


@pytest.mark.parametrize("seed", range(5))
def test_polygons_are_valid_whatever_the_mask(seed: int):
    shapely = pytest.importorskip("shapely", reason="shapely judges polygons")
    random = np.random.default_rng(seed)
    mask = random.random((40, 50)) < (0.3, 0.5, 0.6, 0.7, 0.9)[seed]  # corners, walls and bridges of one pixel
    islands = [shapely.Polygon(outline, holes) for outline, *holes in polygons(mask, 16.0)]
    assert all(island.is_valid for island in islands)
    assert not shapely.unary_union(islands).is_empty
    assert sum(island.area for island in islands) > 0
    # the middle of every pixel of the mask lies in an island
    rows, columns = np.nonzero(mask)
    inside = shapely.contains_xy(shapely.unary_union(islands), 16.0 * (columns + 0.5), 16.0 * (rows + 0.5))
    assert inside.all()


def test_pen_and_folds_are_found_and_tissue_is_not(seen):
    overview, grid, scene = seen
    tissue = find_tissue(overview, TissueSettings())
    pen, fold = artefacts(overview, tissue, glass_level(overview, tissue))
    for mask, kind in ((pen, PEN), (fold, FOLD)):
        painted = share(scene.classes == kind, grid, SCALE)
        found = share(mask, grid, overview.scale)
        assert (painted > 0.4).sum() >= 3
        assert (found[painted > 0.4] > 0.2).mean() > 0.9
        near = cv2.dilate((scene.classes == kind).astype(np.uint8), np.ones((5, 5), np.uint8))
        assert not (found[share(near, grid, SCALE) == 0] > 0.2).any()


@pytest.mark.parametrize("colour", PEN_COLOURS)
def test_ink_of_every_colour_is_ink(colour):
    assert pen_mask(optical_density(np.array([[colour]], np.uint8), GLASS_COLOUR)).all()


@pytest.mark.parametrize(
    "colour",
    [
        (196, 130, 180),  # eosin
        (110, 85, 155),  # nuclei, haematoxylin
        (80, 60, 130),
        (215, 75, 105),  # red blood cells
        (243, 243, 243),
        (150, 120, 160),
    ],
)
def test_stains_are_not_ink(colour):
    assert not pen_mask(optical_density(np.array([[colour]], np.uint8), GLASS_COLOUR)).any()


def real_tiles(shared: Path, blur_um: float = 0.0) -> np.ndarray:
    tiles = []
    for path in sorted((shared / "data" / "rois").glob("*.png")):
        picture = np.asarray(Image.open(path).convert("RGB"))
        if blur_um:
            picture = cv2.GaussianBlur(picture, (0, 0), blur_um / 0.5)
        tiles += [picture[y : y + 224, x : x + 224] for y in range(0, 800, 224) for x in range(0, 800, 224)]
    return np.stack(tiles)


def test_real_tissue_passes_every_limit(shared):
    tiles = real_tiles(shared)
    assert (judge(tiles, GLASS_COLOUR, TileSettings(224, 224, 0.5).quality) == "").all()
    small = np.stack([cv2.resize(tile, (14, 14), interpolation=cv2.INTER_AREA) for tile in tiles])
    assert not pen_mask(optical_density(small, GLASS_COLOUR)).any()


def test_real_tissue_out_of_focus_is_left_out(shared):
    quality = TileSettings(224, 224, 0.5).quality
    assert (judge(real_tiles(shared, 2.0), GLASS_COLOUR, quality) == "blur").mean() > 0.6
    sharp, soft = measure(real_tiles(shared), GLASS_COLOUR)[:, 1], measure(real_tiles(shared, 1.0), GLASS_COLOUR)[:, 1]
    assert sharp.min() > 2 * soft.max()


def test_blurred_tiles_of_the_scene_are_left_out_and_sharp_ones_kept(large):
    path, scene = large
    settings = TileSettings(224, 64, 0.5)
    with Slide(path) as slide:
        found = survey(slide, settings)
        reasons = np.concatenate(
            [judge(batch.tiles, found.glass, settings.quality) for batch in stream(slide, found.grid)]
        )
    blurred = share(scene.classes == BLUR, found.grid, SCALE)
    assert (blurred == 1).sum() >= 2
    assert (reasons[blurred == 1] == "blur").all()
    assert (reasons[blurred == 0] == "").mean() > 0.98


def test_a_limit_of_none_switches_a_measure_off(large):
    path, _ = large
    with Slide(path) as slide:
        strict = survey(slide, TileSettings(224, 224, 0.5))
        loose = survey(
            slide, TileSettings.of({"size": 224, "stride": 224, "mpp": 0.5, "quality": {"pen": None, "fold": None}})
        )
    assert not loose.left_out
    assert len(loose.grid) == len(strict.grid) + sum(map(len, strict.left_out.values()))


def test_share_is_the_mean_of_the_mask_under_a_tile(slides):
    with Slide(slides["jpeg-420"]) as slide:
        grid = lay_grid(slide, slide_mpp=0.25, mpp=0.5, size=128, stride=64)
    mask = np.random.default_rng(0).random((107, 132)) < 0.3
    scale = 16.0  # tiles of 256 level-0 pixels cover 16 x 16 pixels of the mask
    for (x, y), found in zip(grid.coords, share(mask, grid, scale), strict=True):
        left, top = round(x / scale), round(y / scale)
        assert found == pytest.approx(mask[top : top + 16, left : left + 16].mean(), abs=1e-6)


def test_the_overlay_shows_every_fate_and_the_contact_sheet_every_slide(seen, tmp_path: Path):
    overview, _, _ = seen
    tiles = {reason: np.array([[400 + 1000 * i, 500]]) for i, reason in enumerate(COLOURS)}
    picture = draw_overlay(overview, np.zeros(overview.picture.shape[:2], bool), tiles, 448)
    assert max(picture.shape) == 1024
    plain = draw_overlay(overview, np.zeros(overview.picture.shape[:2], bool), {}, 448)
    changed = (picture != plain).any(axis=2).any(axis=0)
    assert (np.diff(changed.astype(int)) == 1).sum() == len(COLOURS)
    write_picture(tmp_path / "a.jpg", picture)
    sheet = contact_sheet([("a", tmp_path / "a.jpg"), ("lost", tmp_path / "gone.jpg")], columns=2, side=64)
    assert sheet.shape == (86, 128, 3)
    assert (sheet[10:50, 70:120] == 225).all()
