"""What a run will fetch, take and need: files, bytes, slides, hours, disk, licences and gates."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from pathgptomic.cohort.gdc.manifest import CLINICAL, read_manifest
from pathgptomic.files import atomic

logger = logging.getLogger(__name__)

GB = 1e9
# Rough figures, good to a factor of two or three: tiles of 256 px at 0.5 microns in a diagnostic slide by its size,
# tiles a second of a ViT-L (303 million weights) on one data-centre GPU, and of a small network on one CPU core.
TILES_PER_GB = 11_000
GPU_TILES_PER_S, GPU_WEIGHTS_M, GPU_LIMIT = 1600.0, 303.0, 2500.0
CPU_TILES_PER_S, CPU_WEIGHTS_M, CPU_LIMIT = 25.0, 8.5, 40.0
DECODE_S = 0.0045  # one core, one tile
LINE_BYTES_PER_S = 50e6
BYTES_PER_FEATURE = 2
# scGPT of the official size: sequences of 1,200 tokens that a profile is shown as under the policy `partition` (18,000
# expressed genes in bulk and in mixtures of many cells), sequences a second on one GPU (an estimate) and on one core
SEQUENCES = {"bulk": 16, "pseudobulk": 16, "pairs": 5, "cells": 3}
GPU_SEQUENCES_PER_S, CPU_SEQUENCES_PER_S = 1000.0, 1.0
COLUMNS = ("cohort", "cases", "files", "molecular GB", "slides", "slides GB", "controlled", "release")


def plan_run(
    *,
    manifests: Mapping[str, str],
    encoded: Collection[str],
    encoder: Mapping[str, Any],
    batches: int,
    ahead: int | None,
    device: str,
    scgpt: Mapping[str, Any],
    others: Sequence[str],
    plan_out: str,
) -> None:
    """Write and log the plan of a run.

    Parameters
    ----------
    manifests
        Manifest of each cohort from the GDC.
    encoded
        Cohorts whose slides are fetched and encoded; others bring image features made elsewhere.
    encoder
        Facts of the tile encoder: name, dimension, parameters_m, licence, gated, commercial, tcga.
    batches
        Batches of slides a cohort.
    ahead
        Batches of slides on the disk at once where slides are deleted after encoding, None where they stay.
    device
        ``auto``, ``cpu`` or ``cuda``.
    scgpt
        ``policy`` and ``profiles`` (number by form) of what scGPT has to embed beside the cohorts; empty where it has
        nothing to do or is the small one of the demo.
    others
        Sentences on further data and weights that the run asks for.
    plan_out
        Text file.
    """
    tables = {name: read_manifest(path) for name, path in manifests.items()}
    tables = {name: t if name in encoded else t[t["modality"] != "slides"] for name, t in tables.items()}
    lines = [
        *_sizes(tables),
        "",
        *_effort(tables, encoder, batches, ahead, device),
        *_scgpt_effort(tables, scgpt, device),
        "Hours, tiles and sequences are good to a factor of two or three; training and the report take minutes.",
        "",
        *_terms(tables, encoder, others),
    ]
    for line in lines:
        logger.info("%s", line)
    with atomic(plan_out) as path:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _sizes(tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    rows = []
    for name, table in tables.items():
        files, slides = table[table["modality"] != CLINICAL], table[table["modality"] == "slides"]
        small = files[files["modality"] != "slides"]
        rows.append(
            (
                name,
                int((table["modality"] == CLINICAL).sum()),
                len(files),
                small["size"].sum() / GB,
                len(slides),
                slides["size"].sum() / GB,
                int((files["access"] != "open").sum()),
                ", ".join(sorted(set(table["data_release"]))),
            )
        )
    text = pd.DataFrame(rows, columns=list(COLUMNS)).to_string(index=False, float_format="{:.1f}".format)
    yield from text.splitlines() if rows else ["No cohort comes from the GDC: nothing is fetched from it."]


def estimate(
    tables: Mapping[str, pd.DataFrame], encoder: Mapping[str, Any], batches: int, ahead: int | None, device: str
) -> dict[str, float]:
    """Return tiles, hours and bytes of a run (see `plan_run`); rough, as the constants of this module say."""
    slides = [table.loc[table["modality"] == "slides", "size"] for table in tables.values()]
    total = sum(table["size"].sum() for table in tables.values())
    slide_bytes = sum(sizes.sum() for sizes in slides)
    tiles = slide_bytes / GB * TILES_PER_GB
    weights = max(encoder["parameters_m"], 1.0)
    on_cpu = min(CPU_TILES_PER_S * CPU_WEIGHTS_M / weights, CPU_LIMIT)
    on_gpu = min(GPU_TILES_PER_S * GPU_WEIGHTS_M / weights, GPU_LIMIT)
    # batches are by a hash of the slide: even, give or take the largest slide
    held = (
        slide_bytes if ahead is None else sum(s.sum() * min(ahead / batches, 1.0) + s.max() for s in slides if len(s))
    )
    features = tiles * max(encoder["dimension"], 1) * BYTES_PER_FEATURE
    return {
        "tiles": tiles,
        "gpu_hours": 0.0 if device == "cpu" else tiles / on_gpu / 3600,
        "cpu_hours": tiles * (DECODE_S + (1 / on_cpu if device == "cpu" else 0.0)) / 3600,
        "fetch_hours": total / LINE_BYTES_PER_S / 3600,
        "disk_bytes": total - slide_bytes + held + 2 * features,
        "feature_bytes": features,
    }


def _effort(
    tables: Mapping[str, pd.DataFrame], encoder: Mapping[str, Any], batches: int, ahead: int | None, device: str
) -> Iterator[str]:
    found = estimate(tables, encoder, batches, ahead, device)
    kept = "all slides stay" if ahead is None else f"{ahead} of {batches} batches of slides at a time"
    yield f"Fetch:      {found['fetch_hours']:.1f} h at {LINE_BYTES_PER_S / 1e6:.0f} MB/s."
    yield f"Encoding:   about {found['tiles'] / 1e6:.2f} million tiles with {encoder['name']}."
    if device == "cpu":
        yield f"CPU:        about {found['cpu_hours']:.0f} core-hours (decoding and encoding; no GPU)."
    else:
        yield f"GPU:        about {found['gpu_hours']:.1f} h on one data-centre GPU."
        yield f"CPU:        about {found['cpu_hours']:.0f} core-hours (decoding)."
    yield f"Disk:       at most about {found['disk_bytes'] / GB:.0f} GB ({kept})."


def scgpt_sequences(tables: Mapping[str, pd.DataFrame], scgpt: Mapping[str, Any]) -> tuple[int, int]:
    """Return the profiles that scGPT has to embed and the sequences that these are shown as (see `plan_run`)."""
    bulk = sum(table.loc[table["modality"] == "expression", "case"].nunique() for table in tables.values())
    profiles = {"bulk": bulk, **scgpt["profiles"]}
    kind, _, draws = scgpt["policy"].partition(":")
    each = {"partition": SEQUENCES, "random": dict.fromkeys(SEQUENCES, int(draws or 1) if kind == "random" else 1)}
    number = each.get(kind, dict.fromkeys(SEQUENCES, 1))
    return sum(profiles.values()), sum(count * number[form] for form, count in profiles.items())


def _scgpt_effort(tables: Mapping[str, pd.DataFrame], scgpt: Mapping[str, Any], device: str) -> Iterator[str]:
    if not scgpt:
        return
    profiles, sequences = scgpt_sequences(tables, scgpt)
    on_cpu, on_gpu = (sequences / speed / 3600 for speed in (CPU_SEQUENCES_PER_S, GPU_SEQUENCES_PER_S))
    took = f"{on_cpu:.0f} core-hours without a GPU"
    took = took if device == "cpu" else f"{on_gpu:.1f} h on one data-centre GPU, {took}"
    yield f"scGPT:      {profiles:,} profiles as {sequences:,} sequences ({scgpt['policy']}), about {took}."


def _terms(tables: Mapping[str, pd.DataFrame], encoder: Mapping[str, Any], others: Sequence[str]) -> Iterator[str]:
    files = pd.concat([t[t["modality"] != CLINICAL] for t in tables.values()]) if tables else pd.DataFrame()
    controlled = files[files["access"] != "open"] if len(files) else files
    if len(controlled):
        projects = ", ".join(sorted(set(controlled["project"])))
        yield f"Data:       {len(controlled)} files of {projects} are controlled: they need dbGaP approval and a token."
    elif len(files):
        yield "Data:       all files are open access; cite the projects and the GDC's data release."
    gate = "access must be asked for on its hub" if encoder["gated"] else "no gate"
    use = "commercial use allowed" if encoder["commercial"] else "no commercial use"
    yield f"Encoder:    {encoder['name']}: {encoder['licence']}, {gate}, {use}."
    yield f"            TCGA in its pre-training: {encoder['tcga']}."
    yield from (f"Also:       {sentence}" for sentence in others)
