"""Where a bag model looked: the attention of a patient's tiles, drawn over the slides' thumbnails."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import cv2
import h5py
import numpy as np
import pandas as pd
from tqdm import tqdm

from pathgptomic.files import atomic
from pathgptomic.slides.overlay import contact_sheet, write_picture

log = logging.getLogger(__name__)

ROW = 6  # patients on each row of the sheet: of highest and of lowest risk


def draw_heatmaps(
    *, attention: str, bags: str, slides: str, features: str, thumbnails: str, folder_out: str, sheet_out: str
) -> None:
    """Draw one PNG a patient, and a sheet of the first and the last ones.

    Parameters
    ----------
    attention
        Table (parquet) of the survival stage: patient_id, row (of ``bags.npy``), weight; weights of networks that did
        not see the patient, summing to 1 over the patient's rows. Patients come in its order, from high to low risk.
    bags
        ``bags.tsv``.
    slides, features, thumbnails
        ``slides.tsv`` of this stage, its folder of features, its folder of thumbnails.
    folder_out, sheet_out
        Where the pictures go.

    Raises
    ------
    ValueError
        If there is nothing to draw, or the rows of a patient are not those of the patient's slides.
    """
    weights = pd.read_parquet(attention)
    ranges = pd.read_csv(bags, sep="\t", dtype={"patient_id": str}).set_index("patient_id")
    table = pd.read_csv(slides, sep="\t", dtype={"slide_id": str, "patient_id": str})
    table = table[table["status"] == "ok"].sort_values("slide_id")
    if weights.empty:
        raise ValueError(f"{attention} holds no patient; no heatmap can be drawn")
    drawn: list[tuple[str, Path]] = []
    with atomic(folder_out) as folder:
        folder.mkdir()
        for patient, rows in tqdm(weights.groupby("patient_id", sort=False), unit="patient", desc="heatmaps"):
            values = rows.sort_values("row")["weight"].to_numpy()
            tiles = read_tiles(table.loc[table["patient_id"] == patient, "slide_id"], Path(features))
            start, stop = ranges.loc[patient, ["start", "stop"]]
            if not len(values) == stop - start == sum(len(each["coords"]) for each in tiles.values()):
                raise ValueError(
                    f"{attention} has {len(values)} weights for patient {patient}, whose slides in {features} have "
                    f"{sum(len(each['coords']) for each in tiles.values())} tiles; make the attention again"
                )
            drawn.append((str(patient), folder / f"{patient}.png"))
            write_picture(drawn[-1][1], patient_picture(tiles, ranks(values), Path(thumbnails)))
        write_picture(sheet_out, contact_sheet(ends(drawn), columns=ROW))


def ends(drawn: list[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """Return the first and the last patients, a row each, with their places in the order of risk as captions."""
    placed = [(f"{name}   risk {place} of {len(drawn)}", path) for place, (name, path) in enumerate(drawn, 1)]
    return placed if len(placed) <= 2 * ROW else placed[:ROW] + placed[-ROW:]


def read_tiles(slide_ids: pd.Series, features: Path) -> dict[str, dict]:
    """Return for each slide, in the order in which bags hold them, the tiles' places and sizes."""
    tiles = {}
    for slide_id in slide_ids:
        with h5py.File(features / f"{slide_id}.h5") as file:
            tiles[slide_id] = {
                "coords": file["coords"][...],
                "side": float(file.attrs["side_level0"]),
                "scale": float(file.attrs["thumbnail_scale"]),
                "extent": (int(file.attrs["height"]), int(file.attrs["width"])),
            }
    return tiles


def ranks(weights: np.ndarray) -> np.ndarray:
    """Return the rank of each weight from 0 to 1, ties sharing one: weights themselves span orders of magnitude."""
    order = pd.Series(weights).rank(method="average").to_numpy()
    return (order - 1) / max(len(weights) - 1, 1)


def patient_picture(tiles: Mapping[str, Mapping], values: np.ndarray, thumbnails: Path) -> np.ndarray:
    """Draw the slides of a patient side by side.

    Parameters
    ----------
    tiles
        Slide -> `coords` (n, 2), `side` and `extent` (height, width) in level-0 pixels, and `scale`, the level-0 pixels
        of a thumbnail pixel.
    values
        0 to 1 for all tiles, in the order of `tiles`.
    thumbnails
        Folder of ``<slide_id>.jpg``; tiles of a slide that has none are drawn on white.
    """
    pictures, at = [], 0
    for slide_id, slide in tiles.items():
        picture = _background(thumbnails / f"{slide_id}.jpg", slide)
        count = len(slide["coords"])
        pictures.append(
            paint(picture, slide["coords"] / slide["scale"], slide["side"] / slide["scale"], values[at : at + count])
        )
        at += count
    height = max(picture.shape[0] for picture in pictures)
    padded = [np.pad(p, ((0, height - p.shape[0]), (0, 8), (0, 0)), constant_values=255) for p in pictures]
    return np.concatenate(padded, axis=1)


def _background(path: Path, slide: Mapping) -> np.ndarray:
    if path.is_file():
        return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    log.warning("%s is gone, its tiles are drawn on white", path)
    return np.full((*(round(length / slide["scale"]) for length in slide["extent"]), 3), 255, np.uint8)


def paint(picture: np.ndarray, corners: np.ndarray, side: float, values: np.ndarray) -> np.ndarray:
    """Tint squares of a picture by values from 0 to 1 (viridis: dark is low, yellow is high)."""
    tint, covered = picture.copy(), np.zeros(picture.shape[:2], np.uint8)
    shades = cv2.applyColorMap((values * 255).round().astype(np.uint8)[:, None], cv2.COLORMAP_VIRIDIS)[:, 0, ::-1]
    for (x, y), shade in zip(corners, shades, strict=True):
        first, last = (round(x), round(y)), (round(x + side) - 1, round(y + side) - 1)
        cv2.rectangle(tint, first, last, shade.tolist(), -1)
        cv2.rectangle(covered, first, last, 1, -1)
    mixed = cv2.addWeighted(picture, 0.45, tint, 0.55, 0)
    return np.where(covered[..., None] == 1, mixed, picture)
