"""Pictures of what was read of a slide and why the rest was not; contact sheet of a cohort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pathgptomic.files import atomic
from pathgptomic.slides.overview import Overview
from pathgptomic.slides.tissue import polygons

# told apart with every common colour blindness (Wong 2011)
COLOURS = {
    "kept": (0, 158, 115),
    "pen": (0, 114, 178),
    "fold": (204, 121, 167),
    "background": (160, 160, 160),
    "blur": (230, 159, 0),
    "unreadable": (213, 94, 0),
}
LONG_SIDE = 1024
CAPTION = 22  # pixels below each picture of a sheet


def thumbnail(overview: Overview) -> tuple[np.ndarray, float]:
    """Return the overview at 1024 pixels a side, and how many level-0 pixels one of its pixels covers."""
    zoom = LONG_SIDE / max(overview.picture.shape[:2])
    method = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    return cv2.resize(overview.picture, None, fx=zoom, fy=zoom, interpolation=method), overview.scale / zoom


def draw_overlay(
    overview: Overview, tissue: np.ndarray, tiles: Mapping[str, np.ndarray], side_level0: float
) -> np.ndarray:
    """Draw the outline of the tissue and every tile in the colour of its fate.

    Parameters
    ----------
    overview, tissue
        The slide and its tissue mask.
    tiles
        For ``kept`` and each reason, level-0 positions (n, 2).
    side_level0
        Side of a tile in level-0 pixels.

    Returns
    -------
    Picture (h, w, 3) uint8 of at most 1024 pixels a side.
    """
    canvas, per_pixel = thumbnail(overview)
    tint, zoom = canvas.copy(), overview.scale / per_pixel
    for reason, colour in COLOURS.items():
        for x, y in np.asarray(tiles.get(reason, np.zeros((0, 2)))) / per_pixel:
            corner = (round(x + side_level0 / per_pixel), round(y + side_level0 / per_pixel))
            cv2.rectangle(tint, (round(x), round(y)), corner, colour, -1)
            cv2.rectangle(canvas, (round(x), round(y)), corner, colour, 1)
    canvas = cv2.addWeighted(canvas, 0.75, tint, 0.25, 0)
    outlines = [np.round(ring * zoom).astype(np.int32) for island in polygons(tissue, 1.0) for ring in island]
    cv2.polylines(canvas, outlines, True, (0, 0, 0), 1, cv2.LINE_AA)
    return canvas


def write_picture(path: str | Path, picture: np.ndarray) -> None:
    """Write an RGB picture as JPEG or PNG, by the ending of the name."""
    options = [] if Path(path).suffix == ".png" else [cv2.IMWRITE_JPEG_QUALITY, 85]
    with atomic(path) as temporary:
        if not cv2.imwrite(str(temporary), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options):
            raise OSError(f"the picture {path} could not be written")


def contact_sheet(pictures: Sequence[tuple[str, str | Path]], *, columns: int = 6, side: int = 256) -> np.ndarray:
    """Lay out named pictures in rows; pictures that are missing are left grey.

    Parameters
    ----------
    pictures
        Caption and file of each.
    columns, side
        Pictures a row and their side in pixels.
    """
    rows = max(1, -(-len(pictures) // columns))
    sheet = np.full((rows * (side + CAPTION), columns * side, 3), 255, np.uint8)
    places = [divmod(number, columns) for number in range(len(pictures))]
    for (row, column), (_, path) in zip(places, pictures, strict=True):
        top, left = row * (side + CAPTION), column * side
        cell = sheet[top : top + side, left : left + side]
        picture = cv2.imread(str(path)) if Path(path).is_file() else None
        if picture is None:
            cell[2:-2, 2:-2] = 225
            continue
        zoom = (side - 4) / max(picture.shape[:2])
        small = cv2.resize(picture, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)[..., ::-1]
        height, width = small.shape[:2]
        cell[2 : 2 + height, 2 : 2 + width] = small
    canvas = Image.fromarray(sheet)
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(14)
    for (row, column), (name, _) in zip(places, pictures, strict=True):
        pen.text((column * side + 3, row * (side + CAPTION) + side + 1), name, (60, 60, 60), font)
    return np.asarray(canvas)
