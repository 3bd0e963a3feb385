"""Write files whole or not at all, and name their content."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name beside `path` that becomes `path` if the block ends well, and vanishes if it does not.

    The block may make a file or a folder under that name; a folder replaces an older one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # the suffix stays last, since many writers choose their format by it
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    remove(temporary)
    try:
        yield temporary
        if temporary.is_dir() and path.is_dir():
            remove(path)
        os.replace(temporary, path)
    finally:
        remove(temporary)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sha256_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes as hexadecimal text."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
