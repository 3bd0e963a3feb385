"""Build the images that are not up to date: ``python containers/build.py [--base debian|IMAGE] [STAGE ...]``.

The wheels of all pins are fetched on this host, once for all stages, and installed in the images without a network, so
that a build needs no registry access, proxy or certificate inside the container. ``--base IMAGE`` names a registry
image, best by digest (``python@sha256:...``); ``--base debian`` makes a base from Debian's packages with mmdebstrap,
for hosts that reach no container registry. ``--device`` insists on wheels of torch for CPUs or for CUDA. An image
carries the digest of all that it was made from as a label, and is left alone while that digest holds. Run from the
root of the clone; needs Apptainer 1.3 or later.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path("containers")
ENVS = Path("envs")
sys.path.insert(0, str(ENVS))
from install import APART, UV, pins  # noqa: E402 - the one reader of the pin lists

NOT_STAGES = {"dev", "workflow"}
LABEL = "pathgptomic.digest"
SQUASH = "-comp zstd -Xcompression-level 3"  # a third of the time of gzip to build, and faster to read


def main() -> None:
    """Build the base and every stage that was asked for, unless they are up to date."""
    stages = sorted(path.stem for path in ENVS.glob("*.yaml") if path.stem not in NOT_STAGES)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stages", nargs="*", help="stages to build; all by default")
    parser.add_argument("--base", default="python:3.11-slim-bookworm", help="registry image, or 'debian'")
    parser.add_argument("--device", default="any", choices=["any", "cpu", "cuda"], help="what torch is built for")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.stages) - set(stages)):
        sys.exit(f"containers/build.py: unknown stage '{unknown[0]}'; known are {', '.join(stages)}.")
    if not shutil.which("apptainer"):
        sys.exit("containers/build.py: no apptainer on the PATH; install version 1.3 or later, or load its module.")

    base = digest(FOLDER / "base.def", text=arguments.base)
    if label("base") != base:
        build_base(arguments.base, base)
    wanted = {stage: stage_digest(stage, base, arguments.device) for stage in arguments.stages or stages}
    outdated = [stage for stage in wanted if label(stage) != wanted[stage]]
    for stage in sorted(wanted.keys() - set(outdated)):
        say(f"{stage}.sif is up to date")
    if not outdated:
        return
    wheels = fetch_wheels(stages, arguments.device)
    for stage in outdated:
        say(f"building {stage}.sif")
        values = {"STAGE": stage, "DEVICE": arguments.device, "VERSION": version(), "DIGEST": wanted[stage]}
        apptainer_build(stage, "stage", values, "--bind", f"{wheels.resolve()}:/opt/wheels:ro")


def digest(*paths: Path, text: str = "") -> str:
    """Return a digest of files and of a text."""
    total = hashlib.sha256(text.encode())
    for path in paths:
        total.update(path.read_bytes())
    return total.hexdigest()[:16]


def stage_digest(stage: str, base: str, device: str) -> str:
    """Return a digest of all that a stage's image is made from."""
    tools = [FOLDER / "stage.def", FOLDER / "smoke.py", ENVS / "install.py", Path("scripts/pathgptomic/timm_import.py")]
    return digest(*tools, *sorted(ENVS.glob(f"{stage}.*")), text=f"{base} {device} {version()}")


def version() -> str:
    """Return the version of the workflow."""
    return re.search(r'__version__ = "(.+)"', Path("scripts/pathgptomic/__init__.py").read_text())[1]


def label(name: str) -> str | None:
    """Return the digest that an image carries, None if there is no image or label."""
    image = FOLDER / f"{name}.sif"
    if not image.exists():
        return None
    shown = subprocess.run(["apptainer", "inspect", "--json", "--labels", image], capture_output=True, text=True)
    if shown.returncode:
        return None
    return json.loads(shown.stdout)["data"]["attributes"]["labels"].get(LABEL)


def build_base(source: str, own_digest: str) -> None:
    """Build base.sif from a registry image or from Debian's packages."""
    say(f"building base.sif from {source}")
    if source != "debian":
        apptainer_build("base", "base", {"FROM": source, "DIGEST": own_digest})
        return
    with tempfile.TemporaryDirectory() as work:
        root = Path(work) / "root"
        packages = "python3,python3-venv,ca-certificates,libgomp1"
        run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={packages}", "bookworm", str(root))
        # device files cannot change owner in a user namespace
        for device in (root / "dev").iterdir():
            shutil.rmtree(device) if device.is_dir() and not device.is_symlink() else device.unlink()
        apptainer_build("base", "base", {"BOOTSTRAP": "localimage", "FROM": str(root), "DIGEST": own_digest})


def fetch_wheels(stages: list[str], device: str) -> Path:
    """Return a folder with the wheels of all stages' pins and of all that they need, fetched if need be.

    Stages whose pins agree are resolved together, so that each wheel is fetched once and in one version.
    """
    together = pins([stage for stage in stages if stage not in APART])
    groups = [together, *(pins([stage]) for stage in stages if stage in APART)]
    scripts = [path.read_text(encoding="utf-8") for path in sorted(ENVS.glob("*.post-deploy.sh"))]
    alone = [pin for script in scripts for pin in re.findall(r"--no-deps (\S+==\S+)", script)]
    folder = FOLDER / "wheels" / digest(text=f"{groups} {alone} {UV} {device}")
    if not folder.exists():
        say("fetching wheels")
        shutil.rmtree(FOLDER / "wheels", ignore_errors=True)
        part = folder.with_suffix(".part")
        download = [sys.executable, "-m", "pip", "download", "-qq", "--only-binary=:all:", "--dest", str(part)]
        for group in groups:
            run(*download, *group)
        run(*download, "--no-deps", UV, *alone)
        part.rename(folder)
    if device != "any" and (found := torch_device(folder)) != device:
        sys.exit(
            f"containers/build.py: pip finds wheels of torch for {found}, not for {device}; a folder or index of those "
            "for CPUs is named by PIP_FIND_LINKS or PIP_EXTRA_INDEX_URL, and without one pip finds wheels for CUDA."
        )
    return folder


def torch_device(folder: Path) -> str:
    """Return what the wheel of torch in a folder is built for."""
    (wheel,) = folder.glob("torch-*.whl")
    return "cpu" if "+cpu" in wheel.name else "cuda"


def apptainer_build(name: str, definition: str, values: dict[str, str], *options: str) -> None:
    """Build one image from a definition; its %test section runs at the end of the build."""
    image, part = FOLDER / f"{name}.sif", FOLDER / f".{name}.part.sif"
    arguments = [word for key, value in values.items() for word in ("--build-arg", f"{key}={value}")]
    run(
        *("apptainer", "--quiet", "build", "--force", "--fakeroot", "--mksquashfs-args", SQUASH, *options, *arguments),
        *(str(part), str(FOLDER / f"{definition}.def")),
    )
    os.replace(part, image)


def run(*command: str) -> None:
    """Run a command, and end with its own words if it fails."""
    if subprocess.run(command).returncode:
        sys.exit(f"containers/build.py: '{' '.join(command[:4])} ...' failed; see above.")


def say(text: str) -> None:
    """Tell what is done."""
    sys.stderr.write(f"containers: {text}\n")


if __name__ == "__main__":
    main()
