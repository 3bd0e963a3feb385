"""Ways in which a slide file can be broken, each made from a sound one."""

import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile


def tile_place(path: Path, index: int) -> tuple[int, int]:
    """Return offset and length of a compressed tile of level 0."""
    with tifffile.TiffFile(path) as tif:
        return tif.pages[0].dataoffsets[index], tif.pages[0].databytecounts[index]


def overwrite_tile(source: Path, target: Path, index: int, change: Callable[[bytes], bytes]) -> None:
    """Copy a slide and change the bytes of one tile in place."""
    shutil.copy(source, target)
    offset, length = tile_place(source, index)
    with open(target, "r+b") as file:
        file.seek(offset)
        changed = change(file.read(length))
        assert len(changed) == length
        file.seek(offset)
        file.write(changed)


def noise(data: bytes) -> bytes:
    return np.random.default_rng(0).bytes(len(data))


def zeros(data: bytes) -> bytes:
    return bytes(len(data))


def cut(data: bytes) -> bytes:
    """End the tile in its middle, as an interrupted copy does."""
    half = len(data) // 2
    return data[:half] + bytes(len(data) - half)


def flipped(data: bytes) -> bytes:
    """Change two bytes of the entropy-coded part."""
    changed = bytearray(data)
    changed[len(data) // 2] ^= 0x5A
    changed[len(data) // 2 + 1] ^= 0xFF
    return bytes(changed)


def bomb(data: bytes) -> bytes:
    """State 65,500 x 65,500 pixels in the JPEG frame header."""
    changed = bytearray(data)
    at = data.index(b"\xff\xc0") + 5
    changed[at : at + 4] = struct.pack(">HH", 65500, 65500)
    return bytes(changed)


def truncated(source: Path, target: Path, share: float = 0.5) -> None:
    """Keep the first part of the file."""
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])


def huge_header(source: Path, target: Path) -> None:
    """State a million pixels a side in every directory of the TIFF, over the same few tiles."""
    shutil.copy(source, target)
    with tifffile.TiffFile(target, mode="r+") as tif:
        for page in tif.pages:
            if page.is_tiled:
                page.tags["ImageWidth"].overwrite(1_000_000)
                page.tags["ImageLength"].overwrite(1_000_000)


def unreadable(source: Path, target: Path) -> None:
    """A file without permission to read (of no effect for root)."""
    shutil.copy(source, target)
    os.chmod(target, 0)
