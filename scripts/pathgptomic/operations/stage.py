"""The step stage_offline: everything that a run needs in one folder, with checksums, for a host without internet."""

import csv
import json
import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pathgptomic import __version__
from pathgptomic.files import atomic, remove, sha256_file

logger = logging.getLogger(__name__)

GUIDE = """\
# A run for a host without internet

Made by Path-GPTOmic {version}. On the other host, in a clone of the same version:

    ln -s WHERE/THIS/FOLDER/IS {name}
    (cd {name} && sha256sum --check --quiet SHA256SUMS)
    PIP_NO_INDEX=1 PIP_FIND_LINKS=$PWD/{name}/wheels python3 envs/install.py .venv {environments}
    cp {name}/config.yaml config/config.yaml
    .venv/bin/snakemake --cores 8

`sha256sum` says nothing where every file is whole. The third line is for hosts that run without images, and needs
Python 3.11 on the same kind of machine. `config.yaml` is the whole configuration of the run that was staged, its paths
pointing here. It takes the place of the clone's own, since `--configfile` would add to that one. Other options (a
profile, `--sdm apptainer`) are given as always.
"""


def stage_offline(
    *,
    files: Mapping[str, str],
    cohorts: Mapping[str, str],
    mirrors: Mapping[str, str],
    manifests: Mapping[str, str],
    answers: Mapping[str, str],
    fetched: Mapping[str, Iterable[str]],
    configuration: Mapping[str, Any],
    environments: Iterable[str],
    threads: int,
    checksums_out: str,
    configuration_out: str,
    guide_out: str,
) -> None:
    """Put everything that a run needs into the folder of `checksums_out`.

    Files are linked where the disk allows it, so that slides do not take their room twice, and copied elsewhere.

    Parameters
    ----------
    files
        Place in the folder -> file or folder, of what the configuration names.
    cohorts
        Cohort -> its file.
    mirrors, manifests, answers, fetched
        Of cohorts from the GDC: where their files go, their manifest (which becomes their lock), the GDC's answers, and
        the tables of their fetched files.
    configuration
        With which the other host runs.
    environments
        Whose wheels are in the folder.
    threads
        Files hashed at the same time.
    checksums_out, configuration_out, guide_out
        SHA-256 of every file, as `sha256sum` writes it; the configuration; how to go on.
    """
    folder = Path(checksums_out).parent
    Path(checksums_out).unlink(missing_ok=True)
    places = dict(_single_files(files))
    for cohort, path in cohorts.items():
        places[f"cohorts/{cohort}.yaml"] = path
    for cohort, place in mirrors.items():
        places[f"cohorts/{cohort}.lock.tsv"] = manifests[cohort]
        places |= _answers(cohort, place, answers[cohort]) | _fetched(place, fetched[cohort])
    _refuse_too_large(places, folder)
    for place, path in tqdm(places.items(), desc="stage", unit="file"):
        _put(Path(path), folder / place)
    (folder / "data").mkdir(exist_ok=True)
    _write(configuration_out, json.dumps(configuration, indent=1, sort_keys=True) + "\n")
    _write(guide_out, GUIDE.format(version=__version__, name=folder.name, environments=" ".join(environments)))
    places |= {str(path.relative_to(folder)): str(path) for path in sorted((folder / "wheels").glob("*"))}
    names = sorted([*places, *(Path(path).name for path in (configuration_out, guide_out))])
    with ThreadPoolExecutor(threads) as pool:
        hashes = pool.map(lambda name: sha256_file(folder / name), names)
        lines = [f"{digest}  {name}\n" for name, digest in zip(names, tqdm(hashes, total=len(names)), strict=True)]
    _write(checksums_out, "".join(lines))
    logger.info("%d files in %s; %s says how to go on", len(names), folder, guide_out)


def _single_files(files: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield place and path of every file, those in folders one by one."""
    for place, path in files.items():
        if Path(path).is_dir():
            for file in sorted(file for file in Path(path).rglob("*") if file.is_file()):
                yield f"{place}/{file.relative_to(path)}", str(file)
        else:
            yield place, path


def _answers(cohort: str, place: str, folder: str) -> dict[str, str]:
    """Return the places of the GDC's answers about one cohort; a mirror reads those of all its cohorts together."""
    found = {}
    for path in sorted(Path(folder).iterdir()):
        kind, _, ending = path.name.partition(".")
        found[f"{place}/answers/{kind}-{cohort}.{ending}"] = str(path)
    return found


def _fetched(place: str, tables: Iterable[str]) -> dict[str, str]:
    found = {}
    for table in tables:
        with open(table, encoding="utf-8", newline="") as handle:
            for row in csv.DictReader(handle, delimiter="\t"):
                found[f"{place}/{row['uuid']}/{Path(row['path']).name}"] = row["path"]
    return found


def _refuse_too_large(places: Mapping[str, str], folder: Path) -> None:
    """Refuse to begin what the disk cannot hold, where files have to be copied."""
    folder.mkdir(parents=True, exist_ok=True)
    device = folder.stat().st_dev
    sources = [(folder / place, os.stat(path)) for place, path in places.items()]
    needed = sum(found.st_size for target, found in sources if found.st_dev != device and not target.exists())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ValueError(
            f"{needed / 1e9:.1f} GB are to be copied into {folder}, whose disk has {free / 1e9:.1f} GB free; make "
            "room, or name a folder on a larger disk in offline.folder."
        )


def _put(source: Path, target: Path) -> None:
    """Link or copy a file, unless the very file is there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and target.samefile(source):
        return
    remove(target)
    with atomic(target) as temporary:
        try:
            os.link(source.resolve(), temporary)
        except OSError:  # another disk, or one without links
            shutil.copy2(source, temporary)


def _write(path: str, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
