"""Install the pins of envs/*.yaml into one virtual environment: ``python envs/install.py FOLDER [ENVIRONMENT ...]``.

Uses nothing but the standard library, since it runs before anything is installed. Without names, all environments but
those in `APART` are installed together: their pins agree, and this script stops where they do not.
"""

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

ENVS = Path(__file__).parent
APART = {"scgpt"}  # the published scgpt package needs versions of its own
UV = "uv==0.13.9"
PIN = re.compile(r"^\s+- ([A-Za-z0-9._-]+(?:\[[a-z,]+\])?)==([^\s#]+)")


def pins(names: list[str]) -> list[str]:
    """Return the joined pins of several environments, torch first."""
    found: dict[str, tuple[str, str]] = {}
    for name in names:
        path = ENVS / f"{name}.yaml"
        if not path.is_file():
            known = ", ".join(sorted(other.stem for other in ENVS.glob("*.yaml")))
            sys.exit(f"envs/install.py: there is no environment '{name}'; known are {known}.")
        for line in path.read_text(encoding="utf-8").splitlines():
            if match := PIN.match(line):
                package, version = match[1].lower(), match[2]
                known_version, other = found.setdefault(package, (version, name))
                if known_version != version:
                    sys.exit(
                        f"envs/install.py: envs/{other}.yaml pins {package}=={known_version} and envs/{name}.yaml pins "
                        f"{package}=={version}; give both the same version."
                    )
    # torch first and by name: packages that only ask for "torch" would otherwise draw in a CUDA build
    ordered = sorted(found, key=lambda package: (package != "torch", package))
    return [f"{package}=={found[package][0]}" for package in ordered]


def uv_environment() -> dict[str, str]:
    """Return the variables that uv runs under, so that it looks where pip looks and trusts what the system trusts."""
    links = {"UV_FIND_LINKS": os.environ["PIP_FIND_LINKS"]} if "PIP_FIND_LINKS" in os.environ else {}
    return {"UV_SYSTEM_CERTS": "1"} | links | os.environ


def install(folder: Path, requirements: list[str]) -> None:
    """Make the environment if needed and install into it, with uv where it can be had and with pip otherwise."""
    if not (folder / "bin" / "python").exists():
        venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    environment = uv_environment()
    # compiled once here, and not at every start: nodes and images may not write, and jobs are many
    # uv reads no variable of pip's
    options = ["--compile-bytecode", *(["--no-index"] if "PIP_NO_INDEX" in environment else [])]
    pip = [python, "-m", "pip", "install"]
    if subprocess.run([*pip, "-qq", UV], env=environment, stderr=subprocess.DEVNULL).returncode == 0:
        command = [str(folder / "bin" / "uv"), "pip", "install", "-q", "--python", python, *options, *requirements]
        if subprocess.run(command, env=environment).returncode == 0:
            return
    subprocess.run([*pip, *requirements], env=environment, check=True)


def finish(folder: Path, names: list[str]) -> None:
    """Run the post-deploy scripts of environments, as Snakemake does after conda."""
    path = f"{(folder / 'bin').resolve()}{os.pathsep}{os.environ['PATH']}"
    for script in (ENVS / f"{name}.post-deploy.sh" for name in names):
        if script.exists():
            subprocess.run(["bash", script], env=os.environ | {"PATH": path}, check=True)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    chosen = sys.argv[2:] or sorted(path.stem for path in ENVS.glob("*.yaml") if path.stem not in APART)
    install(Path(sys.argv[1]), pins(chosen))
    finish(Path(sys.argv[1]), chosen)
