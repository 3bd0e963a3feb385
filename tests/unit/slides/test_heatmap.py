"""Heatmaps: the right tile in the right colour on the right slide, and what is refused."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from pathgptomic.slides.heatmap import draw_heatmaps, ends, ranks
from pathgptomic.slides.overlay import write_picture
from pathgptomic.slides.store import write_features

SIDE, SCALE = 448, 8.0  # of a tile in level-0 pixels; level-0 pixels of a thumbnail pixel
TISSUE = (200, 120, 190)
TILES = {"A-1": [(0, 0), (448, 0), (448, 448)], "A-2": [(896, 448)], "B-1": [(0, 448), (448, 448)]}
FACTS = {
    "encoder": "x", "hash": "h", "tile": 224, "stride": 224, "side_level0": float(SIDE), "slide_mpp": 0.25, "mpp": 0.5,
    "level": 0, "width": 1600, "height": 1200, "slide_bytes": 3, "thumbnail_scale": SCALE,
}  # fmt: skip
WEIGHTS = {"A": [0.1, 0.2, 0.3, 0.4], "B": [0.9, 0.1]}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Return the arguments of the step: patient A with two slides, B with one, and one slide that was lost."""
    rows = []
    for slide, coords in TILES.items():
        facts = FACTS | {"slide_id": slide}
        write_features(tmp_path / "features" / f"{slide}.h5", np.ones((len(coords), 4)), np.array(coords), facts)
        write_picture(tmp_path / "thumbnails" / f"{slide}.jpg", np.full((150, 200, 3), TISSUE, np.uint8))
        rows.append((slide, slide[0], "ok"))
    rows.append(("B-0", "B", "failed"))
    table = pd.DataFrame(rows[::-1], columns=["slide_id", "patient_id", "status"])
    table.to_csv(tmp_path / "slides.tsv", sep="\t", index=False)
    pd.DataFrame([("A", 0, 4), ("B", 4, 6)], columns=["patient_id", "start", "stop"]).to_csv(
        tmp_path / "bags.tsv", sep="\t", index=False
    )
    weigh(tmp_path, WEIGHTS)
    names = {"bags": "bags.tsv", "slides": "slides.tsv", "features": "features", "thumbnails": "thumbnails"}
    names |= {"attention": "attention.parquet", "folder_out": "heatmaps", "sheet_out": "heatmaps.jpg"}
    return {argument: str(tmp_path / name) for argument, name in names.items()}


def weigh(folder: Path, weights: dict[str, list[float]]) -> None:
    """Write the attention, patient B before A, rows of the table in no order."""
    start = {"A": 0, "B": 4}
    rows = [(who, start[who] + i, w) for who in sorted(weights, reverse=True) for i, w in enumerate(weights[who])]
    rows = rows[::-1] if len(weights) == 1 else rows
    pd.DataFrame(rows, columns=["patient_id", "row", "weight"]).to_parquet(folder / "attention.parquet")


def picture(path: str, name: str) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(f"{path}/{name}.png"), cv2.COLOR_BGR2RGB).astype(int)


def tile_colour(image: np.ndarray, slide: int, at: tuple[int, int]) -> np.ndarray:
    """Return the colour in the middle of a tile; slides stand side by side, 8 pixels apart."""
    x, y = (round((value + SIDE / 2) / SCALE) for value in at)
    return image[y, x + slide * 208]


def mixed(rank: float) -> np.ndarray:
    shade = cv2.applyColorMap(np.array([[round(255 * rank)]], np.uint8), cv2.COLORMAP_VIRIDIS)[0, 0, ::-1]
    return 0.45 * np.array(TISSUE) + 0.55 * shade


def test_every_tile_has_the_colour_of_its_rank_among_all_tiles_of_the_patient(files):
    draw_heatmaps(**files)
    image = picture(files["folder_out"], "A")
    assert image.shape == (150, 2 * 208, 3)
    places = [(0, at) for at in TILES["A-1"]] + [(1, at) for at in TILES["A-2"]]
    for rank, (slide, at) in enumerate(places):
        assert abs(tile_colour(image, slide, at) - mixed(rank / 3)).max() <= 4  # the thumbnail is a JPEG
    bare = image[140, 20], image[20, 208 + 20], image[20, 190]  # tissue without a tile
    assert all(abs(colour - TISSUE).max() <= 3 for colour in bare)
    assert abs(tile_colour(picture(files["folder_out"], "B"), 0, TILES["B-1"][0]) - mixed(1)).max() <= 4
    assert sorted(path.name for path in Path(files["folder_out"]).iterdir()) == ["A.png", "B.png"]


def test_rows_are_put_in_their_order_before_they_are_drawn(files):
    weigh(Path(files["folder_out"]).parent, {"A": WEIGHTS["A"]})
    draw_heatmaps(**files)
    image = picture(files["folder_out"], "A")
    assert abs(tile_colour(image, 1, TILES["A-2"][0]) - mixed(1)).max() <= 4


def test_the_sheet_shows_patients_from_high_to_low_risk(files):
    draw_heatmaps(**files)
    sheet = cv2.imread(files["sheet_out"])[..., ::-1].astype(int)
    assert sheet.shape == (256 + 22, 6 * 256, 3)
    # B comes first and has one slide, 150 pixels high of 208; A has two beside each other
    heights = [(sheet[:256, 20 + 256 * i] < 240).any(axis=1).sum() for i in range(3)]
    assert heights[0] > 1.5 * heights[1] > 0
    assert heights[2] == 0


def test_of_many_patients_the_ends_are_shown():
    drawn = [(f"P{i}", Path(f"P{i}.png")) for i in range(40)]
    shown = ends(drawn)
    assert [path.name for _, path in shown] == [f"P{i}.png" for i in [*range(6), *range(34, 40)]]
    assert shown[0][0] == "P0   risk 1 of 40"
    assert shown[-1][0] == "P39   risk 40 of 40"
    assert len(ends(drawn[:11])) == 11


def test_ranks_go_from_zero_to_one_and_ties_share_one():
    assert ranks(np.array([1e-9, 0.5, 0.2])).tolist() == [0, 1, 0.5]
    assert ranks(np.array([0.25, 0.25, 0.25, 0.25])).tolist() == [0.5] * 4
    assert ranks(np.array([1.0])).tolist() == [0]


def test_a_slide_without_its_thumbnail_is_drawn_on_white(files, caplog):
    (Path(files["thumbnails"]) / "B-1.jpg").unlink()
    draw_heatmaps(**files)
    image = picture(files["folder_out"], "B")
    assert image.shape == (150, 208, 3)
    assert (image[20, 20] == 255).all()
    assert (tile_colour(image, 0, TILES["B-1"][0]) < 255).any()
    assert "B-1.jpg is gone" in caplog.text


def test_attention_of_other_features_is_refused(files):
    weigh(Path(files["folder_out"]).parent, WEIGHTS | {"A": [0.5, 0.5]})
    with pytest.raises(
        ValueError, match="has 2 weights for patient A, whose slides .* have 4 tiles; make the attention"
    ):
        draw_heatmaps(**files)
    assert not Path(files["folder_out"]).exists()
    pd.read_parquet(files["attention"]).iloc[:0].to_parquet(files["attention"])
    with pytest.raises(ValueError, match="holds no patient"):
        draw_heatmaps(**files)
