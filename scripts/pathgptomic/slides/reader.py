"""Open a slide and read rectangles of its levels.

OpenSlide opens every file and says what it is; levels of plain tiled TIFF are also offered as compressed tiles
(`Slide.tiled`). Open a slide in the process that reads it: handles do not survive a fork.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openslide

from pathgptomic.slides.tiff import TiledLevel, TiledTiff

PLAIN_TIFF = ("aperio", "generic-tiff")  # vendors whose levels are nothing but their tiles
MAXIMUM_PIXELS = 3e11  # 550,000 pixels a side: ten times the largest scanner area


class SlideError(ValueError):
    """A slide that cannot be used; the message is the reason that the user reads."""


class SlideSkipped(SlideError):
    """A sound slide whose resolution is unknown or too coarse."""


@dataclass(frozen=True)
class Level:
    """One level of the pyramid: its size in pixels and how many level-0 pixels go into one of its own."""

    width: int
    height: int
    downsample: float


class Slide:
    """A slide file, open for reading by any number of threads of this process.

    Raises
    ------
    SlideError
        If the file is missing, empty, unreadable, no slide, broken, or states an impossible size.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        _check_file(self.path)
        self.vendor = openslide.OpenSlide.detect_format(str(self.path))
        if self.vendor is None:
            raise SlideError(f"{self.path.name} is in no slide format that OpenSlide reads")
        self._lock = threading.Lock()
        self._handle = self._open()
        sizes, downsamples = self._handle.level_dimensions, self._handle.level_downsamples
        self.levels = tuple(Level(*size, scale) for size, scale in zip(sizes, downsamples, strict=True))
        width, height = sizes[0]
        if width * height > MAXIMUM_PIXELS:
            self._handle.close()
            raise SlideError(f"{self.path.name} states {width} x {height} pixels, more than any scanner makes")
        self.properties = dict(self._handle.properties)
        self._tiff = TiledTiff(self.path) if self.vendor in PLAIN_TIFF else None

    def __enter__(self) -> Slide:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._handle.close()
        if self._tiff is not None:
            self._tiff.close()

    def tiled(self, level: int) -> TiledLevel | None:
        """Return a level as compressed tiles, or None if OpenSlide has to read it."""
        wanted = self.levels[level]
        return self._tiff.levels.get((wanted.width, wanted.height)) if self._tiff is not None else None

    def read(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Read a rectangle through OpenSlide.

        Parameters
        ----------
        level
            Index into `levels`.
        x, y, width, height
            Pixels of that level.

        Returns
        -------
        Array (height, width, 3) of uint8, white where the slide has no pixels.

        Raises
        ------
        SlideError
            If the file cannot be decoded there; later reads are not affected.
        """
        scale = self.levels[level].downsample
        handle = self._handle
        try:
            picture = handle.read_region((round(x * scale), round(y * scale)), level, (width, height))
        except openslide.OpenSlideError as error:
            with self._lock:
                # OpenSlide keeps an error for ever: every later read of this handle would fail
                if self._handle is handle:
                    self._handle = self._open()
            raise SlideError(f"{self.path.name} cannot be read at {x}, {y} of level {level}: {error}") from error
        rgb = np.array(picture.convert("RGB"))
        alpha = picture.getchannel("A")
        if alpha.getextrema()[0] < 255:
            rgb[np.asarray(alpha) == 0] = 255
        return rgb

    def _open(self) -> openslide.OpenSlide:
        try:
            return openslide.OpenSlide(str(self.path))
        except (openslide.OpenSlideError, openslide.OpenSlideUnsupportedFormatError) as error:
            raise SlideError(f"{self.path.name} does not open: {error}") from error


def _check_file(path: Path) -> None:
    if path.is_symlink() and not path.exists():
        raise SlideError(f"{path} is a link to a file that does not exist")
    if not path.is_file():
        raise SlideError(f"{path} is not a file")
    if path.stat().st_size == 0:
        raise SlideError(f"{path} is empty")
    try:
        path.open("rb").close()
    except OSError as error:
        raise SlideError(f"{path} may not be read: {error.strerror}") from error
