"""Plain tiled TIFF levels (SVS among them) whose compressed tiles can be decoded one by one, without OpenSlide.

Only what decodes to the same pixels as OpenSlide's is taken: JPEG tiles, RGB or YCbCr, and Aperio's RGB JPEG2000.
Everything else is left to OpenSlide. A damaged tile raises: the JPEG decoder is told to treat libjpeg's warnings as
errors, as OpenSlide does, since after a warning the rest of the tile is grey.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import simplejpeg
import tifffile

log = logging.getLogger(__name__)

JPEG, JPEG2000_RGB = 7, 33005
RGB, YCBCR = 2, 6  # TIFF photometric interpretation
END_OF_CODESTREAM = b"\xff\xd9"


class DamagedTile(ValueError):
    """A compressed tile that does not decode, or not to the size that the file states."""


@dataclass(frozen=True)
class TiledLevel:
    """One level of a tiled TIFF: where its compressed tiles lie and how they are decoded."""

    descriptor: int
    width: int
    height: int
    tile_width: int
    tile_height: int
    compression: int
    head: bytes  # what belongs between a JPEG tile's first marker and the rest: shared tables, colour transform
    strict_end: bool  # whether every JPEG2000 tile must end with the end-of-codestream marker
    offsets: np.ndarray
    lengths: np.ndarray

    @property
    def columns(self) -> int:
        """Number of tiles side by side."""
        return -(-self.width // self.tile_width)

    def tile(self, index: int) -> np.ndarray:
        """Decode one tile to (tile_height, tile_width, 3) uint8.

        Raises
        ------
        DamagedTile
            If the tile is cut off, does not decode, decodes with a warning, or has another size than stated.
        """
        data = os.pread(self.descriptor, int(self.lengths[index]), int(self.offsets[index]))
        if len(data) < self.lengths[index]:
            raise DamagedTile(f"compressed tile {index} lies beyond the end of the file")
        try:
            return self._jpeg(data) if self.compression == JPEG else self._jpeg2000(data)
        except (ValueError, RuntimeError) as error:
            raise DamagedTile(f"compressed tile {index} does not decode: {error}") from error

    def _jpeg(self, data: bytes) -> np.ndarray:
        data = data[:2] + self.head + data[2:]
        # the size is checked first: a tile that claims 65,500 pixels a side would take 13 GB
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
        self._check_size(height, width)
        return simplejpeg.decode_jpeg(data, colorspace="RGB", strict=True)

    def _jpeg2000(self, data: bytes) -> np.ndarray:
        size = data[8:24]  # the SIZ segment follows the first marker: sizes and offsets of the picture
        right, bottom, left, top = (int.from_bytes(size[at : at + 4], "big") for at in (0, 4, 8, 12))
        self._check_size(bottom - top, right - left)
        if self.strict_end and not data.endswith(END_OF_CODESTREAM):
            raise DamagedTile("the codestream has no end")
        return imagecodecs.jpeg2k_decode(data)

    def _check_size(self, height: int, width: int) -> None:
        if (height, width) != (self.tile_height, self.tile_width):
            raise DamagedTile(f"it has {width} x {height} pixels, not {self.tile_width} x {self.tile_height}")


class TiledTiff:
    """The directly decodable levels of a TIFF file, by their size in pixels."""

    def __init__(self, path: Path):
        self._descriptor = os.open(path, os.O_RDONLY)
        self.levels: dict[tuple[int, int], TiledLevel] = {}
        try:
            with tifffile.TiffFile(path) as tif:
                for page in tif.pages:
                    level = _level(page, self._descriptor)
                    if level is not None:
                        self.levels.setdefault((level.width, level.height), level)
        except Exception as error:  # noqa: BLE001 (whatever a broken header causes, OpenSlide judges the file)
            log.info("%s: read by OpenSlide, since its TIFF directories do not parse (%s)", path.name, error)
            self.levels = {}

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def _level(page: tifffile.TiffPage, descriptor: int) -> TiledLevel | None:
    """Return the page as a level if its tiles can be decoded here."""
    plain = page.is_tiled and page.samplesperpixel == 3 and page.bitspersample == 8 and page.planarconfig == 1
    known = {JPEG: (RGB, YCBCR), JPEG2000_RGB: (RGB, YCBCR)}.get(int(page.compression), ())
    if not plain or int(page.photometric) not in known or page.imagedepth != 1:
        return None
    offsets, lengths = np.array(page.dataoffsets, np.int64), np.array(page.databytecounts, np.int64)
    tiles = -(-page.imagewidth // page.tilewidth) * -(-page.imagelength // page.tilelength)
    if len(offsets) != tiles or len(lengths) != tiles or not lengths.all():
        return None  # sparse levels are filled from other levels, which OpenSlide knows how to do
    last = os.pread(descriptor, 2, int(offsets[0] + lengths[0] - 2))
    return TiledLevel(
        descriptor=descriptor,
        width=page.imagewidth,
        height=page.imagelength,
        tile_width=page.tilewidth,
        tile_height=page.tilelength,
        compression=int(page.compression),
        head=_adobe(page) + (page.jpegtables[2:-2] if page.jpegtables else b""),
        strict_end=last == END_OF_CODESTREAM,
        offsets=offsets,
        lengths=lengths,
    )


def _adobe(page: tifffile.TiffPage) -> bytes:
    """An Adobe marker segment, by which the decoder takes the colours as the TIFF states them and does not guess."""
    transform = 0 if int(page.photometric) == RGB else 1
    return b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform])
