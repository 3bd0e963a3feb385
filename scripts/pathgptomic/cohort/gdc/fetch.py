"""The steps fetch_files and fetch_slides: have the files of a manifest, from the GDC or from a mirror."""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from pathgptomic.cohort.gdc.client import Access, Client
from pathgptomic.cohort.gdc.download import RemoteFile, fetch, is_intact
from pathgptomic.cohort.gdc.manifest import CLINICAL, read_manifest, remote_files
from pathgptomic.cohort.tables import read_slides
from pathgptomic.files import atomic

logger = logging.getLogger(__name__)


def fetch_files(
    *,
    manifest: str,
    modalities: Sequence[str],
    folder: str,
    mirror: str | None,
    access: Mapping[str, Any],
    fetched_out: str,
) -> None:
    """Fetch the files of some modalities; write their uuid, path and MD5 once all are there and verified.

    Parameters
    ----------
    manifest
        What lock_cohort wrote.
    modalities
        Which of its files.
    folder
        Where files are kept, as ``<uuid>/<file name>``; shared by all cohorts.
    mirror
        Folder that holds them already, or None. Its files are verified and used where they are.
    access
        The section `gdc` of config.yaml.
    fetched_out
        Table: uuid, path, md5, size.

    Raises
    ------
    ValueError
        Naming the files that could not be had.
    """
    rows = read_manifest(manifest)
    rows = rows[rows["modality"].isin(modalities) & (rows["modality"] != CLINICAL)]
    have(rows, folder=folder, mirror=mirror, access=access, fetched_out=fetched_out)


def fetch_slides(
    *,
    manifest: str,
    slides: str,
    in_batch: Callable[[str], bool],
    folder: str,
    mirror: str | None,
    access: Mapping[str, Any],
    fetched_out: str,
) -> None:
    """Fetch the slides of one batch; see `fetch_files`.

    Parameters
    ----------
    slides
        ``slides.tsv`` of the cohort: slides of patients who left it are not fetched.
    in_batch
        Says of a slide, by its id, whether it belongs to the batch.
    """
    wanted = {Path(row.path).name for row in read_slides(slides).itertuples() if in_batch(row.slide_id)}
    rows = read_manifest(manifest)
    rows = rows[(rows["modality"] == "slides") & rows["file_name"].isin(wanted)]
    have(rows, folder=folder, mirror=mirror, access=access, fetched_out=fetched_out)


def have(rows: pd.DataFrame, *, folder: str, mirror: str | None, access: Mapping[str, Any], fetched_out: str) -> None:
    """Fetch or verify the files of manifest rows and write the table of them; see `fetch_files`."""
    files = remote_files(rows)
    place = Path(mirror or folder)
    if mirror:
        verify_mirror(files, place, access["connections"])
    else:
        fetch(files, place, Client(Access.from_config(access)))
    rows = [(f.uuid, str(f.place(place)), f.md5, f.size) for f in files]
    with atomic(fetched_out) as path:
        table = pd.DataFrame(rows, columns=["uuid", "path", "md5", "size"])
        table.to_csv(path, sep="\t", index=False, lineterminator="\n")
    logger.info("%d files, %.1f GB in %s", len(files), sum(f.size for f in files) / 1e9, place)


def verify_mirror(files: Sequence[RemoteFile], mirror: Path, threads: int) -> None:
    """Check that a mirror has every file with its size and MD5.

    Raises
    ------
    ValueError
        Naming the files that are absent or differ.
    """
    with (
        tqdm(total=sum(f.size for f in files), unit="B", unit_scale=True, desc="verify") as bar,
        ThreadPoolExecutor(threads) as pool,
    ):
        wrong = []
        for file, problem in zip(files, pool.map(lambda f: _problem(f, mirror), files), strict=True):
            bar.update(file.size)
            wrong += [problem] if problem else []
    if wrong:
        more = f", and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise ValueError(
            f"the mirror {mirror} lacks {len(wrong)} of {len(files)} files: {', '.join(wrong[:5])}{more}; copy them "
            "there as UUID/NAME."
        )


def _problem(file: RemoteFile, mirror: Path) -> str | None:
    path = file.place(mirror)
    if not path.is_file():
        return f"{file.uuid}/{file.name} (absent)"
    return None if is_intact(file, path) else f"{file.uuid}/{file.name} (other content)"
