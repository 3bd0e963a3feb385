"""The process that opens and reads slides for the one that encodes them: ``python -m pathgptomic.slides.read_process``.

A process of its own, so that a file that crashes or hangs a decoder costs one slide and not the batch, and so that the
next slide is read while this one is encoded. Messages are JSON lines on standard input and output; tiles go through
memory that both processes share, cut into slots.
"""

from __future__ import annotations

import json
import logging
import mmap
import os
import queue
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import cv2
import numpy as np
import torch

from pathgptomic.slides.overlay import draw_overlay, thumbnail, write_picture
from pathgptomic.slides.quality import REASONS
from pathgptomic.slides.reader import Slide, SlideError, SlideSkipped
from pathgptomic.slides.survey import Survey, TileSettings, judge, survey
from pathgptomic.slides.tiles import stream
from pathgptomic.slides.tissue import write_geojson

log = logging.getLogger(__name__)


class Slots:
    """Slots of shared memory, each for `capacity` tiles; taken here, given back by the other process."""

    def __init__(self, descriptor: int, count: int, capacity: int, size: int):
        buffer = mmap.mmap(descriptor, count * capacity * size * size * 3)
        self.arrays = np.frombuffer(buffer, np.uint8).reshape(count, capacity, size, size, 3)
        self.free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(count):
            self.free.put(slot)


class Sender:
    """Collects the kept tiles of a slide into slots and announces every full one."""

    def __init__(self, slots: Slots, out: TextIO):
        self._slots, self._out = slots, out
        self._slot: int | None = None
        self._coords: list[list[int]] = []

    def say(self, event: str, **content: Any) -> None:
        """Send one message."""
        try:
            self._out.write(json.dumps({"event": event, **content}) + "\n")
            self._out.flush()
        except BrokenPipeError:
            os._exit(0)  # the other process is gone, and nothing here is worth finishing

    def tiles(self, tiles: np.ndarray, coords: np.ndarray) -> None:
        """Add tiles; blocks while every slot is waiting to be encoded."""
        start = 0
        while start < len(tiles):
            if self._slot is None:
                self._slot = self._slots.free.get()
            array = self._slots.arrays[self._slot]
            used = len(self._coords)
            count = min(len(tiles) - start, len(array) - used)
            array[used : used + count] = tiles[start : start + count]
            self._coords += coords[start : start + count].tolist()
            start += count
            if len(self._coords) == len(array):
                self.finish()

    def finish(self) -> None:
        """Announce a slot that is not full."""
        if self._coords:
            self.say("tiles", slot=self._slot, coords=self._coords)
            self._slot, self._coords = None, []

    def drop(self) -> None:
        """Forget tiles that were not announced yet."""
        self._coords = []


def read_slide(job: Mapping[str, Any], settings: TileSettings, threads: int, sender: Sender) -> None:
    """Read one slide and send its facts, its tiles and the count of what was left out.

    Raises
    ------
    SlideError
        If the slide cannot be used.
    """
    with Slide(job["path"]) as slide:
        seen = survey(slide, settings, job["mpp"])
        grid = seen.grid
        sender.say("opened", **facts(slide, seen))
        # one array for all tiles: pieces kept from every batch would leave holes in memory that grow with the slide
        fates = np.full(len(grid), "", object)
        lost = 0
        for batch in stream(slide, grid, threads=threads):
            reasons = judge(batch.tiles, seen.glass, settings.quality)
            sender.tiles(batch.tiles[reasons == ""], grid.coords[batch.index[reasons == ""]])
            fates[batch.index] = np.where(reasons == "", "kept", reasons)
            fates[batch.unreadable] = "unreadable"
            lost += len(batch.unreadable)
            _check_readable(lost, len(grid), settings.maximum_unreadable)
        sender.finish()
    joined = seen.left_out | {reason: grid.coords[fates == reason] for reason in set(fates)}
    folder, name = Path(job["folder"]), job["slide_id"]
    write_picture(
        folder / "overlays" / f"{name}.jpg", draw_overlay(seen.overview, seen.tissue, joined, grid.side_level0)
    )
    write_picture(folder / "thumbnails" / f"{name}.jpg", thumbnail(seen.overview)[0])
    write_geojson(folder / "tissue" / f"{name}.geojson", seen.tissue, seen.overview.scale)
    sender.say("done", left_out={reason: len(joined.get(reason, ())) for reason in REASONS})


def facts(slide: Slide, seen: Survey) -> dict[str, Any]:
    """Return what is recorded about how a slide was read, in plain types."""
    level0, chosen = slide.levels[0], slide.levels[seen.grid.level]
    return {
        "slide_bytes": slide.path.stat().st_size,
        "vendor": slide.vendor,
        "reader": "openslide" if slide.tiled(seen.grid.level) is None else "tiles",
        "width": level0.width,
        "height": level0.height,
        "slide_mpp": seen.resolution.mpp,
        "mpp_source": seen.resolution.source,
        "level": seen.grid.level,
        "downsample": chosen.downsample,
        "side": seen.grid.side,
        "side_level0": seen.grid.side_level0,
        "mpp": seen.grid.mpp,
        "tissue_mm2": round(float(seen.tissue.sum() * seen.overview.mpp**2 / 1e6), 3),
        "tiles": len(seen.grid),
        "thumbnail_scale": thumbnail(seen.overview)[1],
    }


def _check_readable(lost: int, tiles: int, limit: float) -> None:
    if lost > max(1, limit * tiles):
        raise SlideError(f"more than {limit:.0%} of its {tiles} tiles do not decode")


def main(descriptor: int, protocol: TextIO) -> None:
    """Read slides until the other process ends."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    start = json.loads(sys.stdin.readline())
    settings = TileSettings.of(start["settings"])
    slots = Slots(descriptor, start["slots"], start["capacity"], settings.size)
    sender = Sender(slots, protocol)
    jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            message = json.loads(line)
            if "free" in message:
                slots.free.put(message["free"])
            else:
                jobs.put(message)
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        job = jobs.get()
        sender.say("start", slide_id=job["slide_id"])
        try:
            read_slide(job, settings, start["threads"], sender)
        except Exception as error:  # one slide must not stop the others
            if not isinstance(error, SlideError):
                log.exception("%s", job["slide_id"])
            sender.drop()
            kind = "skipped" if isinstance(error, SlideSkipped) else "failed"
            sender.say(kind, reason=str(error) if isinstance(error, SlideError) else f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    # whatever a library prints must not get between the messages
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    main(int(sys.argv[1]), channel)
