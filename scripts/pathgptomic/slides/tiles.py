"""Stream the tiles of a grid as uint8 batches: each compressed tile is decoded once, nothing is written to disk.

Threads share the decoded tiles; one is dropped after the last output tile that needs it, so that memory holds about
one row of the slide, whatever its height. Both ways of reading (compressed tiles, OpenSlide) end in the same filter.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from pathgptomic.slides.grid import Grid
from pathgptomic.slides.reader import Slide, SlideError
from pathgptomic.slides.tiff import DamagedTile, TiledLevel

FILTER = "bilinear, antialiased (torch uint8 interpolate)"  # the one resampling filter, recorded with the features


@dataclass(frozen=True)
class Batch:
    """Some consecutive tiles of a grid: `tiles` (n, size, size, 3) uint8 at the grid's positions `index` (n,)."""

    index: np.ndarray
    tiles: np.ndarray
    unreadable: np.ndarray  # positions of tiles that do not decode


def resample(pixels: np.ndarray, size: int) -> np.ndarray:
    """Resize square pictures (n, side, side, 3) uint8 to `size`; those that have the size already stay as they are.

    The filter is Pillow's antialiased bilinear one, to within one grey level of rounding.
    """
    if pixels.shape[1] == size:
        return pixels
    # the view is channels-last, for which torch has a vectorised integer kernel
    view = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    small = torch.nn.functional.interpolate(view, size=(size, size), mode="bilinear", antialias=True)
    return np.ascontiguousarray(small.permute(0, 2, 3, 1).numpy())


def stream(slide: Slide, grid: Grid, *, batch: int = 16, threads: int = 1) -> Iterator[Batch]:
    """Yield the tiles of `grid` in its order.

    Parameters
    ----------
    slide
        The slide, opened in this process.
    grid
        Its tiles, in rows.
    batch
        Tiles a batch.
    threads
        Decoding threads; 1 decodes in the calling thread.
    """
    tiled = slide.tiled(grid.level)
    crop = _from_openslide(slide, grid) if tiled is None else _from_tiles(tiled, grid)

    def work(index: np.ndarray) -> Batch:
        pixels = np.empty((len(index), grid.side, grid.side, 3), np.uint8)
        good = np.ones(len(index), bool)
        for place, number in enumerate(index):
            try:
                crop(int(number), pixels[place])
            except (DamagedTile, SlideError):
                good[place] = False
        return Batch(index[good], resample(pixels[good] if not good.all() else pixels, grid.size), index[~good])

    parts = [np.arange(start, min(start + batch, len(grid))) for start in range(0, len(grid), batch)]
    yield from map(work, parts) if threads == 1 else _ordered(work, parts, threads)


def _ordered(work: Callable[[np.ndarray], Batch], parts: list[np.ndarray], threads: int) -> Iterator[Batch]:
    """Map over threads in order, a few parts ahead of the consumer."""
    waiting: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for part in parts:
                waiting.append(pool.submit(work, part))
                if len(waiting) > threads + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _from_openslide(slide: Slide, grid: Grid) -> Callable[[int, np.ndarray], None]:
    def crop(number: int, out: np.ndarray) -> None:
        x, y = grid.origins[number]
        out[:] = slide.read(grid.level, int(x), int(y), grid.side, grid.side)

    return crop


def _from_tiles(level: TiledLevel, grid: Grid) -> Callable[[int, np.ndarray], None]:
    decoded = _Once(level, grid)

    def crop(number: int, out: np.ndarray) -> None:
        left, top = (int(value) for value in grid.origins[number])
        cells = decoded.cells(number)
        try:
            for index in cells:
                row, column = divmod(index, level.columns)
                x, y = column * level.tile_width, row * level.tile_height
                pixels = decoded.get(index)
                x0, x1 = max(left, x), min(left + grid.side, x + level.tile_width)
                y0, y1 = max(top, y), min(top + grid.side, y + level.tile_height)
                out[y0 - top : y1 - top, x0 - left : x1 - left] = pixels[y0 - y : y1 - y, x0 - x : x1 - x]
        finally:
            decoded.release(cells)

    return crop


class _Once:
    """The decoded tiles that are still needed; each is decoded by the first thread that asks for it."""

    def __init__(self, level: TiledLevel, grid: Grid):
        self._level = level
        size = np.array([level.tile_width, level.tile_height])
        self._first, self._last = grid.origins // size, (grid.origins + grid.side - 1) // size
        self._uses: dict[int, int] = {}
        for number in range(len(grid)):
            for index in self.cells(number):
                self._uses[index] = self._uses.get(index, 0) + 1
        self._lock = threading.Lock()
        self._tiles: dict[int, Future[np.ndarray]] = {}

    def cells(self, number: int) -> list[int]:
        """Return the compressed tiles under one output tile."""
        (left, top), (right, bottom) = self._first[number], self._last[number]
        columns = self._level.columns
        return [int(row * columns + column) for row in range(top, bottom + 1) for column in range(left, right + 1)]

    def get(self, index: int) -> np.ndarray:
        """Return a decoded tile, or raise what its decoding raised."""
        with self._lock:
            future = self._tiles.get(index)
            mine = future is None
            if mine:
                future = self._tiles[index] = Future()
        if mine:
            try:
                future.set_result(self._level.tile(index))
            except Exception as error:  # noqa: BLE001 (handed to every thread that waits for it)
                future.set_exception(error)
        return future.result()

    def release(self, cells: list[int]) -> None:
        """Note that one output tile is done with these."""
        with self._lock:
            for index in cells:
                self._uses[index] -= 1
                if not self._uses[index]:
                    self._tiles.pop(index, None)
