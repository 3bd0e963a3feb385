"""Fetch files by manifest: resumed where they stopped, verified before they get their name, never fetched twice."""

import contextlib
import errno
import fcntl
import hashlib
import io
import logging
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from pathgptomic.cohort.gdc.client import Client, Refused, TryAgain, chunks
from pathgptomic.cohort.gdc.hashing import BackgroundMd5

logger = logging.getLogger(__name__)

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
ANSWERS = frozenset({200, 206, 416})
SPARE_BYTES = 2**28  # left free on the disk
READ_SIZE = 2**20


@dataclass(frozen=True)
class RemoteFile:
    """One file of a manifest; `size` in bytes, `md5` as hexadecimal text, `access` open or controlled."""

    uuid: str
    name: str
    md5: str
    size: int
    access: str = "open"

    def __post_init__(self) -> None:
        for text in (self.uuid, self.name):
            if text in {"", ".", ".."} or "/" in text or "\\" in text:
                raise ValueError(f"the manifest names a file {self.uuid}/{self.name}, which is no plain name.")

    def place(self, folder: Path) -> Path:
        """Return where the file is below `folder`, in the layout of the GDC's own client."""
        return folder / self.uuid / self.name


class Stopped(Exception):
    """The download as a whole was stopped while this file was under way."""


def fetch(files: Sequence[RemoteFile], folder: Path, client: Client) -> None:
    """Fetch what is missing of `files` into ``folder/<uuid>/<name>``.

    A file gets its name only with the right size and MD5; until then it is a hidden ``.part`` beside it, which the next
    run goes on with, whatever ended this one. Files that are there are verified, and not fetched.

    Raises
    ------
    ValueError
        If the disk is or becomes too small, or listing the files that could not be had, once all others are there.
    """
    _refuse_without_token(files, client)
    _check_space(files, folder)
    stop = threading.Event()
    failures: list[str] = []
    with (
        tqdm(total=sum(f.size for f in files), unit="B", unit_scale=True, desc="fetch", mininterval=0.5) as bar,
        ThreadPoolExecutor(client.access.connections) as pool,
    ):
        # the largest first, so that no connection ends alone with one of them
        ordered = sorted(files, key=lambda f: -f.size)
        jobs = [pool.submit(_Fetch(f, folder, client, Progress(bar), stop).run) for f in ordered]
        try:
            for job in as_completed(jobs):
                with contextlib.suppress(Stopped):
                    failures += job.result()
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    if failures:
        shown = "; ".join(failures[:5]) + (f"; and {len(failures) - 5} more" if len(failures) > 5 else "")
        raise ValueError(f"{len(failures)} of {len(files)} files could not be fetched: {shown}.")


class Progress:
    """A progress bar that several threads may move."""

    _lock = threading.Lock()

    def __init__(self, bar: tqdm):
        self._bar = bar

    def move(self, n: int) -> None:
        """Go on by `n` bytes, back where `n` is negative."""
        with self._lock:
            self._bar.update(n)


@dataclass
class _Fetch:
    """One file under way; `have` bytes of it are in the part, and `digest` is theirs."""

    file: RemoteFile
    folder: Path
    client: Client
    progress: Progress
    stop: threading.Event
    have: int = 0
    digest: BackgroundMd5 = field(default_factory=BackgroundMd5)

    def run(self) -> list[str]:
        """Fetch the file; return what failed, as a list of at most one sentence."""
        final = self.file.place(self.folder)
        part = final.with_name(f".{final.name}.part")
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            with self.digest, _locked(part) as handle:
                if not self._is_there(final):
                    self._receive_all(handle, part)
                    os.replace(part, final)
            part.unlink(missing_ok=True)
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise ValueError(
                f"the disk of {self.folder} is full; free some space and run again, it will go on where it stopped."
            ) from error
        except (Refused, TryAgain) as error:
            with contextlib.suppress(OSError):
                if not part.stat().st_size:
                    part.unlink()
            return [f"{self.file.uuid} ({self.file.name}): {_explain(error, self.client)}"]
        return []

    def _is_there(self, final: Path) -> bool:
        if not final.exists():
            return False
        if is_intact(self.file, final):
            self.progress.move(self.file.size)
            return True
        logger.warning("%s is not what the manifest says; it is fetched again", final)
        final.unlink()
        return False

    def _receive_all(self, handle: io.BufferedWriter, part: Path) -> None:
        """Bring the part to the right size and MD5, with as many requests as it takes."""
        self._take_up(handle, part)
        failures = corrupt = 0
        while True:
            before = self.have
            try:
                if self.have < self.file.size:
                    self._receive(handle)
                self._verify(handle)
            except Corrupt as problem:
                corrupt += 1
                self._restart(handle)
                if corrupt == self.client.access.attempts:
                    raise
                self.stop.wait(self.client.pause(corrupt, problem))
            except TryAgain as problem:
                # only failures without a byte of progress count: a bad line is slow, not hopeless
                failures = 1 if self.have > before else failures + 1
                if failures == self.client.access.attempts:
                    raise
                self.stop.wait(self.client.pause(failures, problem))
            else:
                return

    def _take_up(self, handle: io.BufferedWriter, part: Path) -> None:
        """Go on with what an earlier run left."""
        if os.fstat(handle.fileno()).st_size > self.file.size:
            handle.truncate(0)
        with open(part, "rb") as earlier:
            while piece := earlier.read(READ_SIZE):
                self.digest.update(piece)
                self.have += len(piece)
        self.progress.move(self.have)

    def _restart(self, handle: io.BufferedWriter) -> None:
        handle.truncate(0)
        self.progress.move(-self.have)
        self.have = 0
        self.digest.restart()

    def _receive(self, handle: io.BufferedWriter) -> None:
        """Append the answer to one request to the part."""
        headers = {"Range": f"bytes={self.have}-"} if self.have else {}
        controlled = self.file.access != "open"
        path = f"data/{self.file.uuid}"
        with self.client.open("GET", path, headers=headers, with_token=controlled, accept=ANSWERS) as response:
            if response.status == 416:
                raise Corrupt("the server has nothing after the part that is here")
            if response.status == 206:
                if response.headers.get("Content-Range") != f"bytes {self.have}-{self.file.size - 1}/{self.file.size}":
                    raise Corrupt(f"the server sent the range {response.headers.get('Content-Range')}")
            elif self.have:
                self._restart(handle)  # the server ignores ranges
            try:
                for piece in chunks(response):
                    self._append(handle, piece)
            finally:
                handle.flush()

    def _append(self, handle: io.BufferedWriter, piece: bytes) -> None:
        if self.stop.is_set():
            raise Stopped
        if self.have + len(piece) > self.file.size:
            raise Corrupt(f"the server sent more than the {self.file.size} bytes of the manifest")
        handle.write(piece)
        self.digest.update(piece)
        self.have += len(piece)
        self.progress.move(len(piece))

    def _verify(self, handle: io.BufferedWriter) -> None:
        if self.have < self.file.size:
            raise TryAgain(f"the server ended after {self.have} of {self.file.size} bytes")
        if self.digest.hexdigest() != self.file.md5:
            raise Corrupt("the content does not have the MD5 of the manifest")
        handle.flush()
        os.fsync(handle.fileno())


@contextlib.contextmanager
def _locked(part: Path) -> Iterator[io.BufferedWriter]:
    """Open `part` for appending, alone: another job may be fetching the same file.

    The lock ends with the process that holds it, however that ends; where the disk knows no locks, there is none.
    """
    while True:
        with open(part, "ab") as handle:
            with contextlib.suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX)
            if os.fstat(handle.fileno()).st_nlink:
                yield handle
                return
        # whoever held the lock has removed the part meanwhile


class Corrupt(TryAgain):
    """What has arrived is wrong; the file starts anew."""


def is_intact(file: RemoteFile, path: Path) -> bool:
    """Return whether `path` has the size and the MD5 of the manifest."""
    if path.stat().st_size != file.size:
        return False
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "md5").hexdigest() == file.md5


def _refuse_without_token(files: Sequence[RemoteFile], client: Client) -> None:
    controlled = [f for f in files if f.access != "open"]
    if controlled and not client.access.token:
        raise ValueError(
            f"{len(controlled)} of {len(files)} files are under controlled access, such as {controlled[0].name} "
            f"({controlled[0].uuid}), and there is no GDC token: name a file with yours in gdc.token_file or in the "
            "variable GDC_TOKEN_FILE."
        )


def _check_space(files: Sequence[RemoteFile], folder: Path) -> None:
    """Refuse to start what cannot end: the bytes still to come must fit on the disk."""
    folder.mkdir(parents=True, exist_ok=True)
    to_come = 0
    for file in files:
        final = file.place(folder)
        part = final.with_name(f".{final.name}.part")
        there = final if final.exists() else part
        to_come += max(file.size - (there.stat().st_size if there.exists() else 0), 0)
    free = shutil.disk_usage(folder).free
    if to_come and to_come + SPARE_BYTES > free:
        raise ValueError(
            f"{to_come / 1e9:.1f} GB are to be fetched into {folder}, whose disk has {free / 1e9:.1f} GB free; make "
            "room, or set gdc.folder to a larger disk."
        )


def _explain(error: Refused | TryAgain, client: Client) -> str:
    """Say what a final failure means for the user."""
    if isinstance(error, TryAgain):
        return f"{error}, {client.access.attempts} times; run again later, it will go on where it stopped"
    if error.status in {401, 403}:
        what = "the token does not open this file; it may have expired, or dbGaP has not granted the study"
        return what if client.access.token else f"{error}; controlled files need a token in gdc.token_file"
    if error.status in {404, 410}:
        return "the GDC no longer has this file; lock the cohort again and look at drift.tsv"
    return str(error).rstrip(".")
