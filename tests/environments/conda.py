"""A stand-in for the ``conda`` program, for hosts that reach no channel: ``python conda.py PREFIX WORDS ...``.

It answers what Snakemake asks a conda, and makes the environment of a file from the package index: the same pins, in a
prefix with a Python of its own. Honest for how the workflow uses conda, not for conda's solver and packages.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "envs"))
from install import uv_environment

VERSION = "24.7.1"  # the oldest that Snakemake takes
ACTIVATE = 'export CONDA_PREFIX="$1" PATH="$1/bin:$PATH"\n'


def place(prefix: Path) -> Path:
    """Put the program and its activate script into a prefix, and return the folder of programs."""
    folder = prefix / "bin"
    folder.mkdir(parents=True)
    program = folder / "conda"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).resolve()}" "{prefix}" "$@"\n')
    program.chmod(0o755)
    (folder / "activate").write_text(ACTIVATE)
    return folder


def answer(prefix: Path, words: list[str]) -> str:
    """Do what is asked, and return what is to be printed."""
    with (prefix / "calls.txt").open("a") as calls:
        calls.write(f"{' '.join(words)}\n")
    match words:
        case ["info", "--json"]:
            return json.dumps({"conda_prefix": str(prefix), "platform": "linux-64"})
        case ["--version"]:
            return f"conda {VERSION}"
        case ["config", "--get", "channel_priority", "--json"]:
            return json.dumps({"get": {"channel_priority": "strict"}})
        case ["clean", "-y", *_]:
            return ""
        case ["env", "create", *options]:
            create(Path(options[options.index("--file") + 1]), Path(options[options.index("--prefix") + 1]))
            return ""
    sys.exit(f"the stand-in for conda does not know 'conda {' '.join(words)}'")


def create(file: Path, folder: Path) -> None:
    """Make the environment that a file describes."""
    *packages, pip = yaml.safe_load(file.read_text())["dependencies"]
    (python,) = (re.fullmatch(r"python=(3\.\d+)", name) for name in packages if name.startswith("python"))
    if python[1] != f"{sys.version_info.major}.{sys.version_info.minor}" or set(packages) - {python[0]} != {"pip"}:
        sys.exit(f"the stand-in for conda cannot give {packages}")
    uv = str(Path(sys.executable).with_name("uv"))
    pins = sorted(pip["pip"], key=lambda pin: not pin.startswith("torch=="))
    subprocess.run([uv, "venv", "-q", "--seed", "--python", sys.executable, folder], env=uv_environment(), check=True)
    install = [uv, "pip", "install", "-q", "--python", folder / "bin" / "python", *pins]
    subprocess.run(install, env=uv_environment(), check=True)


if __name__ == "__main__":
    sys.stdout.write(f"{answer(Path(sys.argv[1]), sys.argv[2:])}\n")
