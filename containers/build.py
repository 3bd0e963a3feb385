"""Build the images: ``python containers/build.py [--base debian|IMAGE] [STAGE ...]``.

The wheels of a stage's pins are fetched on this host and installed in the image without a network, so that a build
needs no registry access, proxy or certificate inside the container. ``--base IMAGE`` names a registry image, best by
digest (``python@sha256:...``); ``--base debian`` makes a base from Debian's packages with mmdebstrap, for hosts that
reach no container registry. Run from the root of the clone; needs Apptainer 1.2 or later.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path("containers")
sys.path.insert(0, "envs")
from install import pins  # noqa: E402 - the one reader of the pin lists


def main() -> None:
    """Build the base if it is not there, then every stage that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stages", nargs="*", help="stages to build; all by default")
    parser.add_argument("--base", default="python:3.11-slim-bookworm", help="registry image, or 'debian'")
    arguments = parser.parse_args()
    known = sorted(path.stem for path in FOLDER.glob("*.def") if path.stem != "base")
    if unknown := sorted(set(arguments.stages) - set(known)):
        sys.exit(f"containers/build.py: unknown stage '{unknown[0]}'; known are {', '.join(known)}.")
    if not (FOLDER / "base.sif").exists():
        build_base(arguments.base)
    for stage in arguments.stages or known:
        fetch_wheels(stage)
        apptainer_build(stage)


def build_base(source: str) -> None:
    """Build base.sif from a registry image or from Debian's packages."""
    if source != "debian":
        apptainer_build("base", f"FROM={source}")
        return
    root = FOLDER / "rootfs"
    shutil.rmtree(root, ignore_errors=True)
    packages = "python3,python3-venv,python3-pip,ca-certificates"
    run("mmdebstrap", "--variant=minbase", f"--include={packages}", "bookworm", str(root))
    # device files cannot change owner in a user namespace
    for device in (root / "dev").iterdir():
        shutil.rmtree(device) if device.is_dir() and not device.is_symlink() else device.unlink()
    apptainer_build("base", "BOOTSTRAP=localimage", f"FROM={root}")
    shutil.rmtree(root)


def fetch_wheels(stage: str) -> None:
    """Put the wheels of a stage's pins, and of all that they need, into containers/wheels/<stage>."""
    target = FOLDER / "wheels" / stage
    download = [sys.executable, "-m", "pip", "download", "-q", "--only-binary=:all:", "--dest", str(target)]
    run(*download, *pins([stage]))
    script = Path("envs") / f"{stage}.post-deploy.sh"
    if script.exists():
        run(*download, "--no-deps", *re.findall(r"--no-deps (\S+==\S+)", script.read_text(encoding="utf-8")))


def apptainer_build(name: str, *build_arguments: str) -> None:
    """Build one image from its definition; its %test section runs at the end of the build."""
    image, part = FOLDER / f"{name}.sif", FOLDER / f".{name}.part.sif"
    options = [option for argument in build_arguments for option in ("--build-arg", argument)]
    run("apptainer", "build", "--force", "--fakeroot", *options, str(part), str(FOLDER / f"{name}.def"))
    os.replace(part, image)


def run(*command: str) -> None:
    """Run a command, and end with its own words if it fails."""
    if subprocess.run(command).returncode:
        sys.exit(f"containers/build.py: '{' '.join(command[:4])} ...' failed; see above.")


if __name__ == "__main__":
    main()
