"""Look over one slide: resolution, tissue, and the tiles that are worth reading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pathgptomic.seeds import rng
from pathgptomic.slides.grid import Grid, lay_grid
from pathgptomic.slides.overview import Overview, read_overview
from pathgptomic.slides.quality import QualitySettings, artefacts, glass_level, measure, share
from pathgptomic.slides.reader import Slide
from pathgptomic.slides.resolution import Resolution, resolution
from pathgptomic.slides.tissue import TissueSettings, find_tissue


@dataclass(frozen=True)
class TileSettings:
    """Which tiles of a slide are read.

    Parameters
    ----------
    size, stride
        Side of a tile and distance between tiles, in output pixels.
    mpp
        Microns per output pixel.
    minimum_tissue
        Smallest share of a tile that must be tissue.
    maximum_unreadable
        Largest share of a slide's tiles that may not decode before the slide fails.
    number
        At most this many tiles of a slide, drawn by its name; None for all.
    seed
        Of that draw.
    """

    size: int
    stride: int
    mpp: float
    minimum_tissue: float = 0.5
    maximum_unreadable: float = 0.05
    number: int | None = None
    seed: int = 0
    tissue: TissueSettings = field(default_factory=TissueSettings)
    quality: QualitySettings = field(default_factory=QualitySettings)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> TileSettings:
        """Make settings from plain nested mappings."""
        plain = dict(settings)
        plain["tissue"] = TissueSettings(**plain.get("tissue", {}))
        plain["quality"] = QualitySettings(**plain.get("quality", {}))
        return cls(**plain)


@dataclass(frozen=True)
class Survey:
    """What the overview of a slide tells: `grid` holds the tiles to read, `left_out` the positions of others."""

    resolution: Resolution
    overview: Overview
    tissue: np.ndarray
    glass: np.ndarray
    grid: Grid
    left_out: dict[str, np.ndarray]  # reason -> coords (n, 2)


def survey(slide: Slide, settings: TileSettings, override: float | None = None) -> Survey:
    """Find the tissue of a slide and lay tiles on it.

    Parameters
    ----------
    slide
        An open slide.
    settings
        Which tiles.
    override
        Microns per pixel of level 0, where the file's own are missing or wrong.

    Raises
    ------
    SlideError
        If the resolution is not known or too coarse, or the slide cannot be read.
    """
    known = resolution(slide, override)
    grid = lay_grid(slide, slide_mpp=known.mpp, mpp=settings.mpp, size=settings.size, stride=settings.stride)
    overview = read_overview(slide, slide_mpp=known.mpp)
    tissue = find_tissue(overview, settings.tissue)
    glass = glass_level(overview, tissue)
    pen, fold = artefacts(overview, tissue, glass)
    grid = grid.keep(share(tissue, grid, overview.scale) >= settings.minimum_tissue)
    left_out = {}
    for reason, mask in {"pen": pen, "fold": fold}.items():
        limit = getattr(settings.quality, reason)
        if limit is not None:
            bad = share(mask, grid, overview.scale) > limit
            left_out[reason] = grid.coords[bad]
            grid = grid.keep(~bad)
    if settings.number is not None and len(grid) > settings.number:
        drawn = rng(settings.seed, "tiles of a slide", slide.path.stem).permutation(len(grid))[: settings.number]
        grid = grid.keep(np.sort(drawn))
    return Survey(known, overview, tissue, glass, grid, left_out)


def judge(tiles: np.ndarray, glass: np.ndarray, quality: QualitySettings) -> np.ndarray:
    """Return for each tile (n, size, size, 3) uint8 the reason to leave it out, or "" to keep it."""
    if not len(tiles):
        return np.zeros(0, object)
    background, sharpness = measure(tiles, glass).T
    reasons = np.full(len(tiles), "", object)
    if quality.blur is not None:
        reasons[sharpness < quality.blur] = "blur"
    if quality.background is not None:
        reasons[background > quality.background] = "background"
    return reasons
