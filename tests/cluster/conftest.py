"""The cluster and the Apptainer of the tests: started for the session, and stopped after it."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import apptainer, slurm

FOLDER = Path(tempfile.gettempdir())


@pytest.fixture(scope="session")
def cluster() -> Iterator[Path]:
    """Return the folder of a running Slurm; one that ran before is left running."""
    folder = FOLDER / "pathgptomic-slurm"
    if os.geteuid() or not shutil.which("apt-get"):
        pytest.skip("a Slurm of our own needs root and Debian's packages")
    link = Path("/etc/slurm/slurm.conf")
    if link.exists() and link.resolve().parent != folder.resolve():
        pytest.skip(f"{link} belongs to another Slurm")
    ran = slurm.alive(folder / "run" / "slurmctld.pid")
    try:
        slurm.install()
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"Slurm's packages cannot be installed here: {error}")
    try:
        slurm.up(folder)
        yield folder
    finally:
        if not ran:
            slurm.down(folder, wipe=True)


@pytest.fixture(scope="session")
def programs(monkeypatch_session: pytest.MonkeyPatch) -> Path:
    """Return the folder of a working Apptainer's program."""
    if os.geteuid() or not shutil.which("apt-get"):
        pytest.skip("an Apptainer of our own needs root and Debian's packages")
    try:
        folder = apptainer.install(FOLDER / "pathgptomic-apptainer")
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"Apptainer cannot be installed here: {error}")
    monkeypatch_session.setenv("APPTAINER_USERNS", "1")
    return folder


@pytest.fixture(scope="session")
def monkeypatch_session() -> Iterator[pytest.MonkeyPatch]:
    """Return a monkeypatch that lasts as long as the session."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch
