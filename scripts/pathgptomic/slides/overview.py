"""The whole slide as one small picture."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

import cv2
import numpy as np

from pathgptomic.slides.reader import Slide, SlideError
from pathgptomic.slides.resolution import SQUARE
from pathgptomic.slides.tiff import DamagedTile, TiledLevel

log = logging.getLogger(__name__)

BLOCK = 2048  # level pixels read at once, so that a slide without a pyramid still takes little memory
DAMAGED = 0.02  # share of a level that may be unreadable before the slide is given up


@dataclass(frozen=True)
class Overview:
    """`picture` (h, w, 3) uint8, of which one pixel covers `scale` x `scale` pixels of level 0, `mpp` microns wide."""

    picture: np.ndarray
    scale: float
    mpp: float


def read_overview(slide: Slide, *, slide_mpp: float, mpp: float = 8.0) -> Overview:
    """Return the slide at about `mpp` microns per pixel (between that and half of it).

    Raises
    ------
    SlideError
        If no level can be read almost whole.
    """
    fitting = [i for i, level in enumerate(slide.levels) if slide_mpp * level.downsample <= mpp * SQUARE]
    # a damaged level is made up for by the next finer one
    for level in sorted(fitting or [0], key=lambda i: -slide.levels[i].downsample):
        factor = 2 ** max(0, int(math.log2(mpp * SQUARE / (slide_mpp * slide.levels[level].downsample))))
        picture, damaged = _shrink(slide, level, factor)
        scale = slide.levels[level].downsample * factor
        if damaged == 0 or (level == 0 and damaged <= DAMAGED):
            return Overview(picture, scale, slide_mpp * scale)
        log.warning("%s: %.1f %% of level %d does not decode", slide.path.name, 100 * damaged, level)
    raise SlideError(f"{slide.path.name} has no level that can be read: {100 * damaged:.0f} % of level 0 is damaged")


def _shrink(slide: Slide, level: int, factor: int) -> tuple[np.ndarray, float]:
    """Average `factor` x `factor` pixels of a level; the share of it that could not be read is left white."""
    size = slide.levels[level]
    tiled = slide.tiled(level)
    block = max(BLOCK, factor)
    picture = np.full((size.height // factor or 1, size.width // factor or 1, 3), 255, np.uint8)
    lost = 0
    for top in range(0, picture.shape[0] * factor, block):
        for left in range(0, picture.shape[1] * factor, block):
            height = min(block, picture.shape[0] * factor - top)
            width = min(block, picture.shape[1] * factor - left)
            pixels, bad = (
                _read_block(slide, level, left, top, width, height)
                if tiled is None
                else _decode_block(tiled, left, top, width, height)
            )
            lost += bad
            rows, columns = (
                slice(top // factor, (top + height) // factor),
                slice(left // factor, (left + width) // factor),
            )
            target = picture[rows, columns]
            if factor > 1:
                pixels = cv2.resize(pixels, (target.shape[1], target.shape[0]), interpolation=cv2.INTER_AREA)
            target[:] = pixels[: target.shape[0], : target.shape[1]]
    return picture, lost / (size.width * size.height)


def _read_block(slide: Slide, level: int, left: int, top: int, width: int, height: int) -> tuple[np.ndarray, int]:
    try:
        return slide.read(level, left, top, width, height), 0
    except SlideError:
        return np.full((height, width, 3), 255, np.uint8), width * height


def _decode_block(level: TiledLevel, left: int, top: int, width: int, height: int) -> tuple[np.ndarray, int]:
    """Return the pixels of a rectangle of compressed tiles and how many of them are lost."""
    pixels = np.full((height, width, 3), 255, np.uint8)
    lost = 0
    for row in range(top // level.tile_height, -(-(top + height) // level.tile_height)):
        for column in range(left // level.tile_width, -(-(left + width) // level.tile_width)):
            x, y = column * level.tile_width, row * level.tile_height
            if x >= level.width or y >= level.height:
                continue
            x0, x1 = max(left, x), min(left + width, x + level.tile_width)
            y0, y1 = max(top, y), min(top + height, y + level.tile_height)
            try:
                tile = level.tile(row * level.columns + column)
                pixels[y0 - top : y1 - top, x0 - left : x1 - left] = tile[y0 - y : y1 - y, x0 - x : x1 - x]
            except DamagedTile:
                lost += (x1 - x0) * (y1 - y0)
    return pixels, lost
