"""A real Apptainer on Debian 12, for tests: ``python -m tests.cluster.apptainer FOLDER``.

Debian has Apptainer only in its unstable suite, which needs a newer C library than Debian 12 has. The package and the
few libraries that it links are therefore unpacked into one folder, and its two programs get that folder's loader and
library path; the system's own libraries and package sources stay as they are. Prints what to export.
"""

import logging
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HELPERS = ["patchelf", "squashfs-tools", "squashfuse", "fuse2fs", "uidmap", "mmdebstrap"]
PACKAGES = ["apptainer", "libc6", "libseccomp2", "libsqlite3-0"]
LIBRARIES = "usr/lib/x86_64-linux-gnu"
SUBORDINATE = "root:100000:65536"


def install(folder: Path) -> Path:
    """Unpack Apptainer into `folder` unless a working one is there or on the PATH; return the folder of its program."""
    found = shutil.which("apptainer")
    if found and works(Path(found)):
        return Path(found).parent
    folder = folder.resolve()
    program = folder / "usr" / "bin" / "apptainer"
    if not works(program):
        install_helpers()
        shutil.rmtree(folder, ignore_errors=True)
        with tempfile.TemporaryDirectory() as work:
            unpack(download(Path(work)), folder)
        relocate(folder)
    return program.parent


def install_helpers() -> None:
    """Install what Apptainer calls, from the system's own suite, and let root map user ids."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *HELPERS]
    if subprocess.run(command, env=environment, capture_output=True).returncode:
        subprocess.run(["apt-get", "update", "-q"], check=True, capture_output=True)
        subprocess.run(command, env=environment, check=True, capture_output=True)
    for path in (Path("/etc/subuid"), Path("/etc/subgid")):
        text = path.read_text() if path.exists() else ""
        if not any(line.startswith("root:") for line in text.splitlines()):
            path.write_text(f"{text}{SUBORDINATE}\n")


def download(work: Path) -> list[Path]:
    """Download the packages from the unstable suite of the mirror that this system uses."""
    mirrors = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)"], check=True, capture_output=True, text=True
    ).stdout.split()
    mirror = min(uri for uri in mirrors if "security" not in uri)
    sources = work / "unstable.sources"
    key = "/usr/share/keyrings/debian-archive-keyring.gpg"
    sources.write_text(f"Types: deb\nURIs: {mirror}\nSuites: sid\nComponents: main\nSigned-By: {key}\n")
    for name in ("lists/partial", "cache/archives/partial", "packages"):
        (work / name).mkdir(parents=True)
    settings = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": work / "lists",
        "Dir::Cache": work / "cache",
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "APT::Sandbox::User": "root",
    }
    options = [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]
    subprocess.run(["apt-get", *options, "update", "-q"], check=True, capture_output=True)
    packages = work / "packages"
    subprocess.run(["apt-get", *options, "download", "-q", *PACKAGES], check=True, capture_output=True, cwd=packages)
    return sorted(packages.glob("*.deb"))


def unpack(packages: list[Path], folder: Path) -> None:
    """Unpack Apptainer itself, and of the others only the shared libraries."""
    (folder / "lib").mkdir(parents=True)
    for package in packages:
        if package.name.startswith("apptainer_"):
            subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
            continue
        extracted = package.with_suffix("")
        subprocess.run(["dpkg-deb", "-x", package, extracted], check=True)
        for library in (extracted / LIBRARIES).glob("*.so*"):
            shutil.copy2(library, folder / "lib" / library.name, follow_symlinks=False)


def relocate(folder: Path) -> None:
    """Make the programs find their libraries and their configuration in the folder."""
    (folder / "usr" / "etc").symlink_to("../etc")
    (folder / "usr" / "lib" / "etc").symlink_to("../../etc")
    for place in ("usr/var/lib", "usr/lib/var/lib"):
        (folder / place / "apptainer" / "mnt" / "session").mkdir(parents=True, exist_ok=True)
    loader, libraries = folder / "lib" / "ld-linux-x86-64.so.2", folder / "lib"
    for program in (folder / "usr/bin/apptainer", folder / LIBRARIES / "apptainer" / "bin" / "starter"):
        options = ["--set-interpreter", loader, "--force-rpath", "--set-rpath", libraries]
        subprocess.run(["patchelf", *options, program], check=True)


def works(program: Path) -> bool:
    """Tell whether the program is there and answers."""
    return program.exists() and subprocess.run([program, "--version"], capture_output=True).returncode == 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.stdout.write(f'export PATH="{install(Path(sys.argv[1]))}:$PATH" APPTAINER_USERNS=1\n')
