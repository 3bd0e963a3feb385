"""Tissue on the overview of a slide, as a mask and as polygons.

The defaults of CLAM and of TRIDENT's classical segmenter are settings of the same few steps: `CLAM`, `TRIDENT`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pathgptomic.files import atomic
from pathgptomic.slides.overview import Overview

CONTRAST = 12  # grey levels between tissue and glass below which Otsu's threshold would only split noise


@dataclass(frozen=True)
class TissueSettings:
    """How tissue is told from glass.

    Parameters
    ----------
    method
        ``otsu``: threshold on saturation, after the glass was made grey, chosen per slide (Otsu 1979), times `factor`;
        ``hsv``: the fixed threshold `saturation`; ``luminance``: Otsu on brightness after grey and black pixels were
        made white.
    saturation
        Fixed threshold, 0 to 255; a lower bound for ``otsu``.
    factor
        Otsu's threshold is multiplied by this: pale tissue lies below the middle between dark tissue and glass.
    smooth_um, close_um
        Widths of the median filter before the threshold and of the closing after it; 0 for none.
    specks_um2, holes_um2
        Islands and holes below these areas are removed and filled.
    """

    method: str = "otsu"
    saturation: float = 10.0
    factor: float = 0.75
    smooth_um: float = 24.0
    close_um: float = 32.0
    specks_um2: float = 40_000.0
    holes_um2: float = 10_000.0


# create_patches_fp.py: sthresh 8, mthresh 7, close 4 at 1/64 of 40x; a_t 100 and a_h 16 in units of (512 px)^2 at 40x
CLAM = TissueSettings("hsv", 8, 1.0, 7 * 16.0, 4 * 16.0, 100 * 128.0**2, 16 * 128.0**2)
# trident/segmentation_models/otsu.py at 1.25x (8 mpp): specks of 60 pixels, holes of 5000 pixels
TRIDENT = TissueSettings("luminance", 0, 1.0, 0, 0, 60 * 64.0, 5000 * 64.0)


def find_tissue(overview: Overview, settings: TissueSettings) -> np.ndarray:
    """Return the mask (h, w) of bool."""
    picture = overview.picture
    smooth = round(settings.smooth_um / overview.mpp) // 2 * 2 + 1
    if smooth > 1:
        picture = cv2.medianBlur(picture, smooth)
    if settings.method == "luminance":
        mask = _dark(picture)
    elif settings.method == "hsv":
        mask = _saturation(picture) > settings.saturation
    else:
        saturation = _saturation(_white_balanced(picture))
        mask = saturation > max(settings.saturation, settings.factor * _otsu(saturation))
    mask = mask.astype(np.uint8)
    width = round(settings.close_um / overview.mpp)
    if width > 1:
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width)))
    area = overview.mpp**2
    mask = _without_small(mask, settings.specks_um2 / area)
    return _without_small(1 - mask, settings.holes_um2 / area) == 0


def _saturation(picture: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)[..., 1]


def _white_balanced(picture: np.ndarray) -> np.ndarray:
    """Make the glass grey: tinted glass is as saturated as pale tissue."""
    pixels = picture.reshape(-1, 3)
    darkest = pixels.min(axis=1)
    scanned = pixels[darkest < 254]  # unscanned parts are filled with white
    if not len(scanned):
        return picture
    bright = scanned[darkest[darkest < 254] >= np.quantile(darkest[darkest < 254], 0.95)]
    glass = np.maximum(np.median(bright, axis=0), 1)
    return (picture * (glass.max() / glass)).clip(0, 255).astype(np.uint8)


def _otsu(values: np.ndarray) -> float:
    """Otsu's threshold, or 255 (nothing is above it) where both sides are the same glass."""
    threshold, above = cv2.threshold(values, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    above = above.astype(bool)
    if above.all() or not above.any() or values[above].mean() - values[~above].mean() < CONTRAST:
        return 255.0 / 0.1
    return float(threshold)


def _dark(picture: np.ndarray) -> np.ndarray:
    hue_saturation_value = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)
    saturation, value = hue_saturation_value[..., 1], hue_saturation_value[..., 2]
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    grey[((saturation <= 10) & (value >= 70)) | (value <= 85)] = 255
    first = grey < _otsu_of_dark(grey)
    grey[~first] = 255
    return grey < _otsu_of_dark(grey)


def _otsu_of_dark(grey: np.ndarray) -> float:
    return 255 - _otsu(255 - grey)


def _without_small(mask: np.ndarray, area: float) -> np.ndarray:
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    large = statistics[:, cv2.CC_STAT_AREA] >= area
    large[0] = False  # the first component is everything outside the mask
    return large[labels].astype(np.uint8) if count > 1 else mask


def polygons(mask: np.ndarray, scale: float) -> list[list[np.ndarray]]:
    """Return islands as rings in level-0 pixels: for each one its outline (n, 2), then its holes.

    No ring crosses or touches itself or another one, which programs that read polygons count as invalid.
    """
    # at twice the size a wall of one pixel has two sides
    large = _without_corners(mask.astype(bool).repeat(2, axis=0).repeat(2, axis=1))
    found, tree = cv2.findContours(large.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    rings = [(ring[:, 0].astype(float) + 0.5) * scale / 2 for ring in found]
    islands = {i: [rings[i]] for i in range(len(rings)) if tree[0][i][3] < 0}
    for i, ring in enumerate(rings):
        if tree[0][i][3] >= 0:
            islands[tree[0][i][3]].append(ring)
    return list(islands.values())


def _without_corners(mask: np.ndarray) -> np.ndarray:
    """Fill pixels until no two parts touch at a corner alone."""
    mask = mask.copy()
    while True:
        first, second = mask[:-1, :-1] & mask[1:, 1:], mask[:-1, 1:] & mask[1:, :-1]
        falling, rising = first & ~mask[:-1, 1:] & ~mask[1:, :-1], second & ~mask[:-1, :-1] & ~mask[1:, 1:]
        if not (falling.any() or rising.any()):
            return mask
        mask[:-1, 1:] |= falling
        mask[:-1, :-1] |= rising


def write_geojson(path: str | Path, mask: np.ndarray, scale: float) -> None:
    """Write the tissue as annotations that QuPath opens (GeoJSON, level-0 pixels)."""
    import json

    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [[*ring.tolist(), ring[0].tolist()] for ring in island]},
            "properties": {"objectType": "annotation", "classification": {"name": "Tissue", "color": [60, 160, 90]}},
        }
        for island in polygons(mask, scale)
    ]
    with atomic(path) as temporary:
        temporary.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
