"""Write pyramidal slides of a known scene, in the formats that scanners write, so that every reader opens them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import tifffile

from pathgptomic.files import atomic
from pathgptomic.slides.scene import ATLAS, Scene, make_scene

CODECS = ("jpeg-rgb", "jpeg-420", "jpeg2000")
LAYOUTS = ("aperio", "generic")
TILE = 256


def write_slide(
    path: str | Path,
    *,
    width: int,
    height: int,
    mpp: float = 0.25,
    codec: str = "jpeg-420",
    density: float = 4000.0,
    seed: int = 0,
    layout: str = "aperio",
    levels: tuple[int, ...] = (4, 16, 32),
    state_mpp: bool = True,
    state_power: bool = True,
    quality: int = 70,
    **scene_options,
) -> Scene:
    """Write one pyramidal slide and return its scene (the truth).

    Parameters
    ----------
    path
        ``.svs`` or ``.tif``.
    width, height, mpp, density, seed
        As in `make_scene`, which also takes the other `scene_options`.
    codec
        ``jpeg-rgb`` (4:4:4, no colour transform, as older Aperio), ``jpeg-420`` (YCbCr), ``jpeg2000`` (RGB, 33005).
    layout
        ``aperio`` (thumbnail, label and macro pictures, Aperio description) or ``generic`` (tiled TIFF).
    levels
        Downsampling factors of the pyramid; empty for a slide of one level.
    state_mpp, state_power
        Whether the file says its microns per pixel and its objective power.
    quality
        JPEG quality (for JPEG2000: the signal-to-noise ratio is half of it, in dB).

    Raises
    ------
    ValueError
        For an unknown codec or layout.
    """
    if codec not in CODECS:
        raise ValueError(f"codec {codec!r} is none of {', '.join(CODECS)}")
    if layout not in LAYOUTS:
        raise ValueError(f"layout {layout!r} is none of {', '.join(LAYOUTS)}")
    scene = make_scene(width=width, height=height, mpp=mpp, density=density, seed=seed, **scene_options)
    quarter = np.zeros((max(1, height // 4), max(1, width // 4), 3), np.uint8)
    writer = _Writer(codec, quality, mpp if state_mpp else None, round(10 / mpp) if state_power else None, layout)
    with atomic(path) as temporary, tifffile.TiffWriter(temporary, bigtiff=width * height > 2**30) as tif:
        writer.page(tif, _level0(scene, quarter, writer.encode), width, height, reduced=False)
        if layout == "aperio":
            thumbnail = cv2.resize(quarter, (max(1, min(1024, width) * 3 // 4), 768), interpolation=cv2.INTER_AREA)
            _associated(tif, thumbnail, "")
        for factor in levels:
            size = (max(1, width // factor), max(1, height // factor))
            small = quarter if factor == 4 else cv2.resize(quarter, size, interpolation=cv2.INTER_AREA)
            writer.page(tif, _tiles(small, writer.encode), small.shape[1], small.shape[0], reduced=True)
        if layout == "aperio":
            _associated(tif, np.full((240, 200, 3), 250, np.uint8), "label")
            _associated(tif, cv2.resize(quarter, (600, 250), interpolation=cv2.INTER_AREA), "macro")
    return scene


def _level0(scene: Scene, quarter: np.ndarray, encode: Callable[[np.ndarray], bytes]) -> Iterator[bytes]:
    """Yield the compressed tiles of level 0 and fill `quarter`, the picture at a quarter of the resolution."""
    known: dict[tuple[int, int, int], tuple[bytes, np.ndarray]] = {}
    for y in range(0, scene.height, TILE):
        for x in range(0, scene.width, TILE):
            # a tile of nothing but one texture comes again with the texture's period
            kind = scene.plain(x, y, TILE, TILE)
            key = (kind, x % ATLAS, y % ATLAS)
            if kind is None or key not in known:
                tile = scene.render(x, y, TILE, TILE)
                made = encode(tile), cv2.resize(tile, (TILE // 4, TILE // 4), interpolation=cv2.INTER_AREA)
                if kind is not None:
                    known[key] = made
            else:
                made = known[key]
            part = quarter[y // 4 : (y + TILE) // 4, x // 4 : (x + TILE) // 4]
            part[:] = made[1][: part.shape[0], : part.shape[1]]
            yield made[0]


def _tiles(picture: np.ndarray, encode: Callable[[np.ndarray], bytes]) -> Iterator[bytes]:
    for y in range(0, picture.shape[0], TILE):
        for x in range(0, picture.shape[1], TILE):
            part = picture[y : y + TILE, x : x + TILE]
            padding = ((0, TILE - part.shape[0]), (0, TILE - part.shape[1]), (0, 0))
            yield encode(np.pad(part, padding, mode="edge"))


@dataclass(frozen=True)
class _Writer:
    codec: str
    quality: int
    mpp: float | None
    power: int | None
    layout: str

    def encode(self, tile: np.ndarray) -> bytes:
        """Compress one tile."""
        if self.codec == "jpeg2000":
            return imagecodecs.jpeg2k_encode(tile, codecformat="j2k", level=self.quality // 2, reversible=False)
        transform, sampling = ("RGB", "444") if self.codec == "jpeg-rgb" else ("YCBCR", "420")
        return imagecodecs.jpeg8_encode(
            tile, level=self.quality, colorspace="RGB", outcolorspace=transform, subsampling=sampling
        )

    def page(self, tif: tifffile.TiffWriter, tiles: Iterator[bytes], width: int, height: int, *, reduced: bool) -> None:
        """Write one tiled level."""
        tags: dict = {}
        if self.codec != "jpeg2000":
            transform, sampling = ("ycbcr", (2, 2)) if self.codec == "jpeg-420" else ("rgb", (1, 1))
            tags = {"subsampling": sampling, "compressionargs": {"outcolorspace": transform}}
        if self.layout == "aperio":
            words = [f"{width}x{height} ({TILE}x{TILE}) {self.codec}"]
            words += [f"AppMag = {self.power}"] if self.power else []
            words += [f"MPP = {self.mpp:g}"] if self.mpp else []
            tags["description"] = "Aperio Image Library v12.0.0\r\n" + "|".join(words)
        elif reduced:
            tags["subfiletype"] = 1
        elif self.mpp:
            tags |= {"resolution": (10_000 / self.mpp, 10_000 / self.mpp), "resolutionunit": "centimeter"}
        tif.write(
            tiles,
            shape=(height, width, 3),
            dtype=np.uint8,
            tile=(TILE, TILE),
            photometric="rgb",
            compression="aperio_jp2000_rgb" if self.codec == "jpeg2000" else "jpeg",
            metadata=None,
            software=False,
            **tags,
        )


def _associated(tif: tifffile.TiffWriter, picture: np.ndarray, name: str) -> None:
    """Write a picture that is no level: Aperio's thumbnail (no name), label or macro."""
    height, width = picture.shape[:2]
    tif.write(
        picture,
        photometric="rgb",
        rowsperstrip=16,
        subfiletype={"label": 1, "macro": 9}.get(name, 0),
        compression="lzw",
        description=f"Aperio Image Library v12.0.0\r\n{name} {width}x{height}",
        metadata=None,
        software=False,
    )
