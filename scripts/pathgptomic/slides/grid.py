"""Where the tiles of a slide lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pathgptomic.slides.reader import Slide
from pathgptomic.slides.resolution import choose_level


@dataclass(frozen=True)
class Grid:
    """Square tiles of one level: `side` pixels there become `size` pixels of output.

    `origins` (n, 2) are left and top in pixels of the level, in rows from the top; `coords` the same in level 0.
    """

    level: int
    side: int
    size: int
    mpp: float  # microns per pixel of the output, as it is after rounding to whole pixels
    origins: np.ndarray
    coords: np.ndarray
    side_level0: float

    def __len__(self) -> int:
        return len(self.origins)

    def keep(self, kept: np.ndarray) -> Grid:
        """Return the grid of some of its tiles (a mask or indices)."""
        return Grid(self.level, self.side, self.size, self.mpp, self.origins[kept], self.coords[kept], self.side_level0)


def lay_grid(slide: Slide, *, slide_mpp: float, mpp: float, size: int, stride: int) -> Grid:
    """Cover a slide with every whole tile that fits.

    Parameters
    ----------
    slide
        An open slide.
    slide_mpp
        Microns per pixel of its level 0.
    mpp
        Microns per pixel that the tiles shall have.
    size, stride
        Side of a tile and distance between tiles, in pixels of the output.

    Raises
    ------
    SlideSkipped
        If the slide is coarser than `mpp`.
    """
    level = choose_level(slide.levels, slide_mpp, mpp)
    chosen = slide.levels[level]
    zoom = mpp / (slide_mpp * chosen.downsample)  # level pixels per output pixel
    side = max(1, round(size * zoom))
    step = stride * zoom
    # positions are rounded one by one, so that they do not drift over a wide slide
    columns, rows = (
        np.round(np.arange(max(0, int((length - side) // step) + 1)) * step).astype(np.int64)
        for length in (chosen.width, chosen.height)
    )
    origins = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    return Grid(
        level=level,
        side=side,
        size=size,
        mpp=slide_mpp * chosen.downsample * side / size,
        origins=origins,
        coords=np.round(origins * chosen.downsample).astype(np.int64),
        side_level0=side * chosen.downsample,
    )
