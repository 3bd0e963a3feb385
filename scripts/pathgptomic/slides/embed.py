"""Slides of one batch to features: read, encode, store, and say of every slide what became of it."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from tqdm import tqdm

from pathgptomic.cohort.tables import read_slides
from pathgptomic.files import atomic, sha256_file
from pathgptomic.slides.choose import batch_of, left_out, read_overrides
from pathgptomic.slides.encode import Encoder, make_encoder, use_gpu
from pathgptomic.slides.feed import ENDS, Job, Message, feed
from pathgptomic.slides.quality import REASONS
from pathgptomic.slides.registry import card
from pathgptomic.slides.store import verify, write_features
from pathgptomic.slides.tiles import FILTER

log = logging.getLogger(__name__)

COLUMNS = (
    ["slide_id", "patient_id", "status", "reason", "tiles", *REASONS]
    + ["tissue_mm2", "mpp", "slide_mpp", "mpp_source", "level", "reader", "vendor", "width", "height"]
    + ["features", "overlay", "path"]
)  # fmt: skip
WHOLE = ("tiles", *REASONS, "level", "width", "height")
LIBRARIES = ("openslide-bin", "simplejpeg", "imagecodecs", "torch", "timm")


@dataclass
class Underway:
    """A slide on its way: what was said of it and what has been encoded so far."""

    facts: dict[str, Any]
    started: float = field(default_factory=time.monotonic)
    features: list[np.ndarray] = field(default_factory=list)
    coords: list[np.ndarray] = field(default_factory=list)


def embed_slides(
    *,
    slides: str,
    overrides: str | None,
    settings: Mapping[str, Any],
    weights: str | None,
    batch: int,
    device: str,
    threads: int,
    folder: str,
    table_out: str,
    fetched: str | None = None,
) -> None:
    """Make the features of the slides of one batch.

    Slides whose features are there already, whole and made with the same settings, are kept. A slide that cannot be
    used ends in the table with the reason and does not stop the others.

    Parameters
    ----------
    slides
        ``slides.tsv`` of the cohort.
    overrides
        Table of microns per pixel by slide, or None.
    settings
        Section `slides` of the configuration.
    weights
        File of the encoder's weights, None for those that come with the software.
    batch
        Number of the batch, from 0 to ``settings["batches"]`` - 1.
    device, threads
        ``auto``, ``cpu`` or ``cuda``; CPU threads of the job.
    folder
        Where features, overlays, thumbnails and tissue outlines of all batches go.
    table_out
        One row a slide of this batch.
    fetched
        Folder of downloaded slides. Where ``settings["keep_slides"]`` is False, a slide in it is deleted as soon as its
        features are verified.
    """
    settings = {**settings, "weights": weights}
    rows, jobs = _plan(slides, read_overrides(overrides), settings, batch, Path(folder))
    digests = _digests(jobs, settings)
    todo = [job for job in jobs if verify(_features(folder, job.slide_id), digests[job.slide_id], job.path)]
    log.info("batch %d: %d slides, %d of them done before", batch, len(jobs), len(jobs) - len(todo))
    for slide_id in set(digests) - {job.slide_id for job in todo}:
        rows[slide_id] |= _kept(_features(folder, slide_id))
    for slide_id, outcome in _run(todo, digests, settings, device, threads, folder):
        rows[slide_id] |= outcome
        if outcome["status"] in ("failed", "skipped"):
            log.warning("%s %s: %s", slide_id, outcome["status"], outcome["reason"])
        elif fetched and not settings["keep_slides"]:
            _delete(Path(rows[slide_id]["path"]), Path(fetched))
    table = pd.DataFrame.from_records(list(rows.values()), columns=COLUMNS).astype(dict.fromkeys(WHOLE, "Int64"))
    with atomic(table_out) as temporary:
        table.to_csv(temporary, sep="\t", index=False, lineterminator="\n")


def _plan(
    slides: str, overrides: Mapping[str, float], settings: Mapping[str, Any], batch: int, folder: Path
) -> tuple[dict[str, dict[str, Any]], list[Job]]:
    """Return a row for every slide of the batch, and a job for each that is to be read."""
    rows, jobs = {}, []
    for slide in read_slides(slides).sort_values("slide_id").itertuples():
        if batch_of(slide.slide_id, settings["batches"]) != batch:
            continue
        reason = left_out(slide.slide_id, settings["select"])
        rows[slide.slide_id] = {
            "slide_id": slide.slide_id,
            "patient_id": slide.patient_id,
            "path": slide.path,
            "status": "left out" if reason else "",
            "reason": reason,
        }
        if not reason:
            jobs.append(Job(slide.slide_id, slide.path, overrides.get(slide.slide_id), str(folder)))
    return rows, jobs


def tile_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `TileSettings`, with what the encoder wants where the configuration leaves it open."""
    known, tile = card(settings["encoder"]), settings["tile"]
    size = tile["size"] or known.size
    return {
        "size": size,
        "stride": tile["stride"] or size,
        "mpp": tile["mpp"] or known.mpp,
        "minimum_tissue": tile["minimum_tissue"],
        "maximum_unreadable": tile["maximum_unreadable"],
        "tissue": dict(settings["tissue"]),
        "quality": dict(settings["quality"]),
    }


def _digests(jobs: Sequence[Job], settings: Mapping[str, Any]) -> dict[str, str]:
    """Name what the features of each slide depend on; batches, precision and threads are not among it."""
    weights = sha256_file(settings["weights"]) if settings["weights"] else None
    common = [tile_settings(settings), settings["encoder"], weights, settings["dtype"], FILTER]
    texts = {job.slide_id: json.dumps([*common, job.mpp]) for job in jobs}
    return {slide_id: hashlib.sha256(text.encode()).hexdigest()[:16] for slide_id, text in texts.items()}


def _run(
    todo: Sequence[Job],
    digests: Mapping[str, str],
    settings: Mapping[str, Any],
    device: str,
    threads: int,
    folder: str,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read and encode slides; yield every slide's id and what to write in its row."""
    if not todo:
        return
    tiles = tile_settings(settings)
    # on a GPU every thread decodes; on a CPU encoding takes nearly all of the time
    readers = threads if use_gpu(device) else 1
    patience = 60 * settings["patience_minutes"]
    messages = feed(todo, tiles, batch=settings["batch_size"], threads=readers, patience_s=patience)
    encoder = make_encoder(
        name=settings["encoder"],
        weights=settings["weights"],
        tile=tiles["size"],
        device=device,
        precision=settings["precision"],
        backend=settings["backend"],
        threads=threads,
    )
    constants = {
        "encoder": settings["encoder"],
        "weights_sha256": encoder.weights_sha256,
        "computed_by": encoder.how,
        "filter": FILTER,
        "tile": tiles["size"],
        "stride": tiles["stride"],
        "versions": json.dumps({name: version(name) for name in LIBRARIES}),
    }
    current: Underway | None = None
    with tqdm(total=len(todo), unit="slide", desc="slides") as progress:
        for message in messages:
            if message.event == "start":
                current = Underway({**constants, "slide_id": message.slide_id, "hash": digests[message.slide_id]})
            elif message.event == "opened":
                current.facts |= message.content
            elif message.event == "tiles":
                # a large slide in float32 would take as much memory again
                current.features.append(encoder.run(message.tiles).astype(settings["dtype"]))
                current.coords.append(np.array(message.content["coords"], np.int64))
            if message.event in ENDS:
                progress.update()
                yield message.slide_id, _finish(message, current, encoder, settings["dtype"], folder)


def _finish(message: Message, current: Underway | None, encoder: Encoder, dtype: str, folder: str) -> dict[str, Any]:
    """Store the features of a slide, if it has any, and return its row."""
    facts = current.facts if current else {}
    if message.event != "done":
        return {"status": message.event, "reason": message.content["reason"]}
    features = np.concatenate([np.zeros((0, encoder.dimension), dtype), *current.features])
    coords = np.concatenate([np.zeros((0, 2), np.int64), *current.coords])
    facts |= {"tiles": len(features), **message.content["left_out"]}
    path = _features(folder, message.slide_id)
    try:
        write_features(path, features, coords, facts)
    except ValueError as error:
        return {"status": "failed", "reason": str(error)}
    # the log says it, not the result: the same slide must give the same file
    log.info("%s: %d tiles in %.1f s", message.slide_id, len(features), time.monotonic() - current.started)
    return _row(facts, path)


def _kept(path: Path) -> dict[str, Any]:
    """Return the row of a slide whose features were there before."""
    with h5py.File(path, "r") as file:
        facts = {name: value.item() if hasattr(value, "item") else value for name, value in file.attrs.items()}
    return _row(facts, path)


def _row(facts: Mapping[str, Any], path: Path) -> dict[str, Any]:
    empty = not facts["tiles"]
    row = {name: facts.get(name) for name in COLUMNS if name in facts}
    row["status"] = "empty" if empty else "ok"
    row["reason"] = "no tile passed tissue and quality limits" if empty else ""
    row["features"] = str(path)
    row["overlay"] = str(path.parents[1] / "overlays" / f"{facts['slide_id']}.jpg")
    return row


def _features(folder: str, slide_id: str) -> Path:
    return Path(folder) / "embedded" / f"{slide_id}.h5"


def _delete(slide: Path, fetched: Path) -> None:
    """Delete a slide that the workflow itself has downloaded; never another file."""
    if slide.resolve().is_relative_to(fetched.resolve()):
        slide.unlink()
        log.info("deleted %s, its features are verified", slide)
