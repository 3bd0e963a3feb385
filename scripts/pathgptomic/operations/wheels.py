"""The step fetch_wheels: the Python packages of the environments as files."""

import subprocess
import sys
from collections.abc import Sequence

from pathgptomic.files import atomic


def fetch_wheels(*, pins: Sequence[str], wheels_out: str) -> None:
    """Fetch the wheels of some pins and of all that they need, for this kind of machine.

    Raises
    ------
    ValueError
        In pip's words, if a package cannot be had.
    """
    with atomic(wheels_out) as folder:
        folder.mkdir()
        # not `pip download`: a few packages come as source only, and the other host may have no compiler
        command = [sys.executable, "-m", "pip", "wheel", "--prefer-binary", "--wheel-dir", str(folder), *pins]
        run = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if run.returncode:
            problem = next((line for line in run.stderr.splitlines() if line.startswith("ERROR")), run.stderr[-500:])
            raise ValueError(f"pip cannot fetch the wheels: {problem.removeprefix('ERROR: ')}")
