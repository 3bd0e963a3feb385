"""Slides in, batches of uint8 tiles out: drives the process that reads slides, and outlives it."""

from __future__ import annotations

import json
import logging
import mmap
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # run as a process of its own, and named here so that a change in it reruns what depends on it
    from pathgptomic.slides import read_process  # noqa: F401

log = logging.getLogger(__name__)

ENDS = ("done", "skipped", "failed")
SLOTS = 6  # batches that may wait for the encoder


@dataclass(frozen=True)
class Job:
    """One slide to read: `mpp` overrides its own resolution; pictures and outlines are written into `folder`."""

    slide_id: str
    path: str
    mpp: float | None
    folder: str


@dataclass(frozen=True)
class Message:
    """What the reading process says: `event` is start, opened, tiles, done, skipped or failed."""

    event: str
    slide_id: str
    content: Mapping[str, Any]
    tiles: np.ndarray | None = None  # (n, size, size, 3) uint8; valid until the next message is asked for


def feed(
    jobs: Sequence[Job], settings: Mapping[str, Any], *, batch: int, threads: int, patience_s: float
) -> Iterator[Message]:
    """Read slides one after the other and yield what comes of them.

    Every slide ends in ``done``, ``skipped`` or ``failed``. A process that dies, or says nothing for `patience_s`
    seconds, fails the slide that it was reading; another process goes on with the next.

    Parameters
    ----------
    jobs
        The slides.
    settings
        Fields of `pathgptomic.slides.survey.TileSettings` in plain types.
    batch
        Tiles a batch.
    threads
        Decoding threads.
    patience_s
        Longest silence, in seconds.
    """
    waiting = list(jobs)
    # started at once, so that the first slide is read while the caller loads the encoder
    first = _Process(waiting, settings, batch, threads) if waiting else None
    return _follow(first, waiting, settings, batch, threads, patience_s)


def _follow(
    process: _Process | None,
    waiting: list[Job],
    settings: Mapping[str, Any],
    batch: int,
    threads: int,
    patience_s: float,
) -> Iterator[Message]:
    while waiting:
        process = process or _Process(waiting, settings, batch, threads)
        current: str | None = None
        try:
            while waiting:
                message = process.next(patience_s)
                if "stopped" in message:
                    current = current or waiting[0].slide_id
                    log.error("%s: %s", current, message["stopped"])
                    yield Message("failed", current, {"reason": message["stopped"]})
                    waiting = waiting[1:]
                    break
                event = message.pop("event")
                current = message.pop("slide_id", current)
                if event == "tiles":
                    slot = message.pop("slot")
                    yield Message(event, current, message, process.slots[slot, : len(message["coords"])])
                    process.give_back(slot)
                    continue
                yield Message(event, current, message)
                if event in ENDS:
                    waiting, current = waiting[1:], None
        finally:
            process.close()
            process = None


class _Process:
    def __init__(self, jobs: Sequence[Job], settings: Mapping[str, Any], batch: int, threads: int):
        size = settings["size"]
        self._memory = os.memfd_create("tiles")
        os.ftruncate(self._memory, SLOTS * batch * size * size * 3)
        shared = mmap.mmap(self._memory, 0)
        self.slots = np.frombuffer(shared, np.uint8).reshape(SLOTS, batch, size, size, 3)
        package = Path(__file__).resolve().parents[2]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pathgptomic.slides.read_process", str(self._memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(self._memory,),
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(package), os.environ.get("PYTHONPATH", "")])},
            text=True,
        )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()
        self._send({"settings": dict(settings), "slots": SLOTS, "capacity": batch, "threads": threads})
        for job in jobs:
            self._send(job.__dict__)

    def next(self, patience_s: float) -> dict[str, Any]:
        """Return the next message, or {"stopped": reason}."""
        try:
            line = self._lines.get(timeout=patience_s)
        except queue.Empty:
            return {"stopped": f"the slide was given up after {patience_s:g} s without a sign of reading"}
        if line is not None:
            return json.loads(line)
        code = self._process.wait()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        return {"stopped": f"the process that read the slide ended with {how}"}

    def give_back(self, slot: int) -> None:
        self._send({"free": slot})

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        os.close(self._memory)

    def _listen(self) -> None:
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _send(self, message: Mapping[str, Any]) -> None:
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the process is gone, which the next message says
