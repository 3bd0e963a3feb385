"""Move the pins of all environments to the newest versions that agree: ``python envs/repin.py [PACKAGE ...]``.

The environments that are installed together are resolved together, each of the others (`APART`) alone but with the
versions that it shares, so that a package has one version everywhere where that is possible. With names, only those
packages move and all other pins stay. Only versions are written back, into envs/*.yaml; where they come from is left to
what pip and uv are set up for. Needs uv, which envs/install.py puts into every environment that it makes.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

from install import APART, ENVS, PIN, uv_environment

LINE = re.compile(r"^([A-Za-z0-9._-]+(?:\[[a-z,]+\])?)==([^\s;]+)", re.M)


def main(names: list[str]) -> None:
    """Resolve, write, and say what has changed."""
    files = {path.stem: path for path in sorted(ENVS.glob("*.yaml"))}
    pins = {stem: read(path) for stem, path in files.items()}
    known = set().union(*pins.values())
    if unknown := sorted({normal(name) for name in names} - known):
        sys.exit(f"envs/repin.py: no environment pins '{unknown[0]}'.")
    moving = {normal(name) for name in names} or known
    together = {name: version for stem in pins.keys() - APART for name, version in pins[stem].items()}
    shared = resolve(together, moving)
    for stem, path in files.items():
        versions = resolve(pins[stem] | shared, moving - shared.keys(), pins[stem]) if stem in APART else shared
        for name, version in pins[stem].items():
            if versions[name] != version:
                sys.stdout.write(f"envs/{stem}.yaml: {name} {version} -> {versions[name]}\n")
        write(path, versions)


def normal(name: str) -> str:
    """Return a package name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read(path: Path) -> dict[str, str]:
    """Return the pinned versions of one environment by normal name."""
    matches = filter(None, map(PIN.match, path.read_text(encoding="utf-8").splitlines()))
    return {normal(match[1]): match[2] for match in matches}


def resolve(pins: dict[str, str], moving: set[str], names: Collection[str] | None = None) -> dict[str, str]:
    """Return versions of the packages, or of the named ones, those of `moving` as new as the others let them be."""
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    requirements = [
        name if name in moving else f"{name}=={pins[name]}" for name in sorted(pins if names is None else names)
    ]
    quiet = ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
    command = [uv, "pip", "compile", "-q", *quiet, "--python-version", "3.11", "-"]
    answer = subprocess.run(
        command, input="\n".join(requirements), env=uv_environment(), stdout=subprocess.PIPE, text=True
    )
    if answer.returncode:
        sys.exit("envs/repin.py: these versions cannot be had together; see above.")
    # a local version ("+cpu") says how a wheel was built, which is no matter of a pin
    return {normal(name): version.partition("+")[0] for name, version in LINE.findall(answer.stdout)}


def write(path: Path, versions: dict[str, str]) -> None:
    """Write versions into the pins of one environment, and leave every other character alone."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    for index, line in enumerate(lines):
        if match := PIN.match(line):
            start, end = match.span(2)
            lines[index] = line[:start] + versions[normal(match[1])] + line[end:]
    path.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
