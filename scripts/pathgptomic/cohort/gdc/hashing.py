"""Hash what passes by without stopping it."""

import hashlib
import queue
import threading
from typing import Self


class BackgroundMd5:
    """The MD5 of pieces as they come, worked out in a thread of its own: hashing and receiving take turns otherwise."""

    WAITING = 16  # pieces at most between the two

    def __init__(self):
        self._pieces: queue.Queue[bytes | None] = queue.Queue(self.WAITING)
        self._md5 = hashlib.md5(usedforsecurity=False)

    def __enter__(self) -> Self:
        threading.Thread(target=self._work, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._pieces.put(None)

    def _work(self) -> None:
        while (piece := self._pieces.get()) is not None:
            self._md5.update(piece)
            self._pieces.task_done()

    def update(self, piece: bytes) -> None:
        """Add a piece."""
        self._pieces.put(piece)

    def restart(self) -> None:
        """Forget all pieces so far."""
        self._pieces.join()
        self._md5 = hashlib.md5(usedforsecurity=False)

    def hexdigest(self) -> str:
        """Return the MD5 of all pieces so far."""
        self._pieces.join()
        return self._md5.hexdigest()
