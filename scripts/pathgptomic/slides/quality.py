"""What keeps a tile out: pen, folds, glass, lack of focus. For haematoxylin and eosin.

Pen and folds are areas and are measured on the overview; glass and focus need the tile's own pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from pathgptomic.slides.grid import Grid
from pathgptomic.slides.overview import Overview

REASONS = ("pen", "fold", "background", "blur", "unreadable")  # why a tile of tissue was left out


@dataclass(frozen=True)
class QualitySettings:
    """Limits beyond which a tile is left out; None switches a measure off.

    Parameters
    ----------
    pen, fold, background
        Largest share of the tile.
    blur
        Smallest variance of the Laplacian in units of the variance of the green channel: three real glioma regions at
        0.5 mpp lie between 0.2 and 1.8, the same blurred by a Gaussian of 1 micron between 0.017 and 0.075, by
        1.5 microns between 0.010 and 0.045.
    """

    pen: float | None = 0.2
    fold: float | None = 0.5
    background: float | None = 0.75
    blur: float | None = 0.03


def glass_level(overview: Overview, tissue: np.ndarray) -> np.ndarray:
    """Return the colour of clean glass (3,), from the bright pixels outside the tissue."""
    outside = overview.picture[~tissue]
    bright = outside[outside.min(axis=1) > 180] if len(outside) else outside
    return np.median(bright, axis=0) if len(bright) else np.array([243.0, 243.0, 243.0])


def optical_density(pixels: np.ndarray, glass: np.ndarray) -> np.ndarray:
    """Return -ln(pixel / glass) for each channel, at least 0, float32."""
    # 256 logarithms by channel instead of one a pixel
    table = np.log(np.maximum(glass, 1)) - np.log(np.maximum(np.arange(256), 1))[:, None]
    table = table.clip(0).astype(np.float32)
    return np.stack([table[pixels[..., channel], channel] for channel in range(3)], axis=-1)


def pen_mask(density: np.ndarray) -> np.ndarray:
    """Return where ink is, from optical densities (..., 3) averaged over several microns.

    Both stains absorb most in green and least in blue (Ruifrok and Johnston 2001: haematoxylin 0.65, 0.70, 0.29; eosin
    0.07, 0.99, 0.11). Blue and green ink absorb more in red than in green; black ink absorbs about the same everywhere;
    red ink absorbs in blue too, like blood, but much more of it.
    """
    red, green, blue = np.moveaxis(density, -1, 0)
    cold = (red > green) & (red > 0.6)
    black = (blue > 0.68 * green) & (red > 0.68 * green) & (green > 0.6)
    warm = (blue > 0.68 * green) & (green > 1.3)
    return cold | black | warm


def artefacts(overview: Overview, tissue: np.ndarray, glass: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the masks of pen and of folds on the overview, each (h, w) of bool.

    A fold is tissue that lies double: much denser than the slide's own tissue.
    """
    density = optical_density(overview.picture, glass)
    # single pixels are nuclei or dust; the rim of a stroke is mixed with what is below
    pen = cv2.dilate(cv2.medianBlur(pen_mask(density).astype(np.uint8), 3), np.ones((5, 5), np.uint8)).astype(bool)
    plain = tissue & ~pen
    if not plain.any():
        return pen, np.zeros_like(pen)
    # the mean over plain tissue alone, or the rim of every pen stroke would look like a fold
    weight = cv2.GaussianBlur(plain.astype(np.float32), (0, 0), 1.5)
    mean = cv2.GaussianBlur(density.mean(axis=-1) * plain, (0, 0), 1.5) / np.maximum(weight, 1e-6)
    usual = float(np.median(mean[plain]))
    spread = 1.4826 * float(np.median(np.abs(mean[plain] - usual)))
    return pen, plain & (mean > max(1.7 * usual, usual + 4 * spread))


def share(mask: np.ndarray, grid: Grid, scale: float) -> np.ndarray:
    """Return the share of each tile that a mask on the overview covers, (n,) float32."""
    total = cv2.integral(mask.astype(np.uint8))
    height, width = mask.shape
    left, top = (grid.coords / scale).T
    right, bottom = ((grid.coords + grid.side_level0) / scale).T
    # whole pixels, at least one, inside the picture
    x0, y0 = left.round().astype(int).clip(0, width - 1), top.round().astype(int).clip(0, height - 1)
    x1 = np.maximum(right.round().astype(int), x0 + 1).clip(None, width)
    y1 = np.maximum(bottom.round().astype(int), y0 + 1).clip(None, height)
    covered = total[y1, x1] - total[y0, x1] - total[y1, x0] + total[y0, x0]
    return (covered / ((x1 - x0) * (y1 - y0))).astype(np.float32)


def measure(tiles: np.ndarray, glass: np.ndarray) -> np.ndarray:
    """Return background share and sharpness of tiles (n, size, size, 3) uint8, as (n, 2) float32."""
    density = optical_density(tiles[:, ::4, ::4], glass)
    background = (density.max(axis=-1) < 0.1).mean(axis=(1, 2))
    sharpness = np.empty(len(tiles))
    for number, tile in enumerate(tiles):
        green = np.ascontiguousarray(tile[..., 1])
        edges = cv2.meanStdDev(cv2.Laplacian(green, cv2.CV_16S))[1][0, 0]
        texture = cv2.meanStdDev(green)[1][0, 0]
        sharpness[number] = edges**2 / (texture**2 + 4)  # 4: rounding noise, so that flat glass is not sharp
    return np.stack([background, sharpness], axis=1).astype(np.float32)
