"""Regions of interest as one array of pictures, for an image network that is trained with the fusion model.

Given pictures (as those of Pathomic Fusion: 1024 x 1024 pixels at 20x), or regions drawn from the tissue of slides.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from pathgptomic.cohort.images import owner_by_name
from pathgptomic.cohort.tables import read_patients, read_slides
from pathgptomic.files import atomic
from pathgptomic.slides.choose import left_out, read_overrides
from pathgptomic.slides.feed import ENDS, Job, feed

log = logging.getLogger(__name__)

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
COLUMNS = ("patient_id", "name", "left", "top", "row", "reason")

Region = tuple[str, str, int, int, np.ndarray | None, str]  # patient, name, left, top, picture, why there is none


def crop_rois(
    *,
    patients: str,
    slides: str,
    pictures: str | None,
    overrides: str | None,
    settings: Mapping[str, Any],
    seed: int,
    threads: int,
    folder: str,
    pictures_out: str,
    table_out: str,
) -> None:
    """Write the regions of a cohort.

    Parameters
    ----------
    patients, slides
        ``patients.tsv`` and ``slides.tsv`` of the cohort.
    pictures
        Folder of given pictures, or None to draw regions from the slides.
    overrides
        Table of microns per pixel by slide, or None.
    settings
        Section `slides` of the configuration.
    seed, threads
        Of the draw; of reading.
    folder
        Where pictures of the slides go.
    pictures_out
        Array (n, size, size, 3) of uint8.
    table_out
        One row a region: patient_id, name, left, top (level-0 pixels), row (of the array; empty where there is none),
        reason (why there is none).

    Raises
    ------
    ValueError
        If there is not a single region.
    """
    size, ids = settings["rois"]["size"], read_patients(patients).index
    if pictures:
        regions = given(Path(pictures), ids, size)
    else:
        regions = drawn(slides, ids, read_overrides(overrides), settings, seed, threads, folder)
    rows, count = [], 0
    with atomic(pictures_out) as temporary:
        with open(temporary, "wb") as file:
            _header(file, 0, size)
            for patient, name, left, top, picture, reason in regions:
                if picture is None:
                    log.warning("%s: %s", name, reason)
                else:
                    file.write(np.ascontiguousarray(picture, np.uint8).tobytes())
                rows.append((patient, name, left, top, None if picture is None else count, reason))
                count += picture is not None
            file.seek(0)
            _header(file, count, size)
        if not count:
            raise ValueError(f"there is no region for any patient in {pictures or slides}; see the log for the reasons")
        table = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"row": "Int64"})
        with atomic(table_out) as other:
            table.to_csv(other, sep="\t", index=False, lineterminator="\n")


def given(folder: Path, patients: Sequence[str], size: int) -> Iterator[Region]:
    """Yield the middle of every picture of a folder; it belongs to the patient whose id begins its name."""
    known = frozenset(patients)
    for path in tqdm(sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES), unit="picture"):
        patient = owner_by_name(path.stem, known)
        picture, reason = _middle(path, size) if patient else (None, "its name begins with no patient of the cohort")
        yield patient, path.stem, 0, 0, picture, reason


def _middle(path: Path, size: int) -> tuple[np.ndarray | None, str]:
    try:
        with Image.open(path) as picture:
            width, height = picture.size
            if min(width, height) < size:
                return None, f"it has {width} x {height} pixels, fewer than slides.rois.size {size}"
            left, top = (width - size) // 2, (height - size) // 2
            return np.asarray(picture.convert("RGB").crop((left, top, left + size, top + size))), ""
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # what Pillow raises on damage
        return None, f"it cannot be read: {error}"


def drawn(
    slides: str,
    patients: Sequence[str],
    overrides: Mapping[str, float],
    settings: Mapping[str, Any],
    seed: int,
    threads: int,
    folder: str,
) -> Iterator[Region]:
    """Yield regions from the tissue of the slides of a cohort, without overlap, drawn by the name of the slide."""
    rois, table = settings["rois"], read_slides(slides)
    table = table[table["patient_id"].isin(patients)]
    table = table[[not left_out(name, settings["select"]) for name in table["slide_id"]]].set_index("slide_id")
    tiles = {
        "size": rois["size"],
        "stride": rois["size"],
        "mpp": rois["mpp"],
        "minimum_tissue": settings["tile"]["minimum_tissue"],
        "maximum_unreadable": settings["tile"]["maximum_unreadable"],
        "number": rois["number"],
        "seed": seed,
        "tissue": dict(settings["tissue"]),
        "quality": dict(settings["quality"]),
    }
    jobs = [Job(str(name), path, overrides.get(str(name)), folder) for name, path in table["path"].items()]
    patience = 60 * settings["patience_minutes"]
    messages = feed(jobs, tiles, batch=rois["number"], threads=threads, patience_s=patience)
    found: Counter[str] = Counter()
    with tqdm(total=len(jobs), unit="slide") as bar:
        for message in messages:
            name, patient = message.slide_id, table.loc[message.slide_id, "patient_id"]
            if message.event == "tiles":
                found[name] += len(message.tiles)
                for picture, (left, top) in zip(message.tiles, message.content["coords"], strict=True):
                    yield patient, name, left, top, picture, ""
            elif message.event in ENDS:
                bar.update()
                reason = message.content.get("reason", "")
                if not found[name]:
                    reason = reason or f"it has no {rois['size']} pixels of sound tissue at {rois['mpp']:g} mpp"
                if reason:
                    yield patient, name, 0, 0, None, reason


def _header(file, count: int, size: int) -> None:
    """Write an npy header of a length that does not depend on `count`."""
    content = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({count:>12}, {size}, {size}, 3), }}"
    file.write(np.lib.format.magic(1, 0) + (118).to_bytes(2, "little") + content.ljust(117).encode() + b"\n")
