"""The step train_model: fit all networks of a model, a few folds at a time, and write what they say.

Each finished chunk of folds is kept beside the results until the model is done, so that a job that was killed goes on
from the last one. A chunk is found again only if settings, data, code and torch are the same.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file, save

from pathgptomic.digest import code_digest
from pathgptomic.files import atomic, remove, sha256_file
from pathgptomic.survival.bundle import Bundle, cross_fitted, provenance, raw_features
from pathgptomic.survival.chunks import Fitted, chunks, fit_chunk, network_shape
from pathgptomic.survival.design import clinical_designs
from pathgptomic.survival.image_network import ImageBase, make_base
from pathgptomic.survival.inputs import CohortInputs, read_inputs
from pathgptomic.survival.packing import pack, pack_scales, unpack, unpack_scales
from pathgptomic.survival.pooling import Scale
from pathgptomic.survival.predictions import write_predictions
from pathgptomic.survival.settings import ModelSettings
from pathgptomic.survival.stack import Member, members

logger = logging.getLogger(__name__)

PARTS = ".parts"  # folder of finished chunks, beside predictions.tsv
TABLES = ("predictions", "history", "networks")


def train_model(
    *,
    paths: Mapping[str, str],
    covariates: Mapping[str, str | Mapping],
    settings: Mapping,
    seeds: int,
    seed: int,
    device: str,
    predictions: str,
    history: str,
    weights: str,
    facts: str,
) -> None:
    """Train a model on every fold of a cohort.

    Parameters
    ----------
    paths
        ``patients``, ``splits`` and a file for each modality, see `inputs.read_inputs`; ``image_weights`` is the file
        that `rois.weights` names.
    covariates
        Covariates of the cohort file.
    settings
        The model's section of config.yaml.
    seeds
        How often each network is trained, from different first weights.
    seed
        Seed of the run.
    device
        ``auto`` (a GPU if there is one), ``cpu`` or ``cuda``.
    predictions, history, weights, facts
        Files to write: predictions.tsv, history.parquet, bundle/model.safetensors, bundle/model.json.

    Raises
    ------
    ValueError
        If the cohort lacks a modality of the model, training diverges, or there is no GPU where one is insisted on.
    """
    model = ModelSettings.from_dict(settings)
    where = choose_device(device)
    inputs = read_inputs(paths, covariates, model.modalities)
    warn_of_bags(inputs, model)
    hashes = {name: sha256_file(path) for name, path in sorted(paths.items())}
    images = make_base(model.rois, seed) if "rois" in model.modalities else None
    networks = members(inputs, seeds)
    logger.info(
        "%s: %d patients, %d deaths; %d networks, %d folds, %d seeds, on %s",
        model.title, len(inputs.patients), inputs.event.sum(), len(networks), len(inputs.folds), seeds, where,
    )  # fmt: skip
    key = run_key(model, hashes, covariates, seeds, seed, where)
    folder = Path(predictions).parent / PARTS
    fitted = fit_all(inputs, model, networks, seed=seed, device=where, folder=folder / key, images=images)
    table = pd.concat([each.predictions for each in fitted], ignore_index=True)
    write_predictions(predictions, table)
    with atomic(history) as temporary:
        pd.concat([each.history for each in fitted], ignore_index=True).to_parquet(temporary)
    make_bundle(inputs, model, fitted, table, provenance(inputs, seed, hashes), images).save(weights, facts)
    remove(folder)
    epochs = pd.concat([each.networks for each in fitted]).query("inner == 0")["epoch"]
    logger.info("kept epochs: median %g, from %d to %d", epochs.median(), epochs.min(), epochs.max())


def fit_all(
    inputs: CohortInputs,
    settings: ModelSettings,
    networks: Sequence[Member],
    *,
    seed: int,
    device: torch.device,
    folder: Path | None = None,
    images: ImageBase | None = None,
) -> list[Fitted]:
    """Fit all networks chunk by chunk; chunks that lie finished in `folder` are read, others are written there."""
    clinical = clinical_designs(inputs) if "clinical" in settings.modalities else {}
    features = raw_features(inputs, settings)
    shape = network_shape(inputs, settings, clinical, images)
    todo = list(chunks(networks, inputs, settings, shape, device, images))
    fitted = []
    for number, chunk in enumerate(todo, 1):
        part = None if folder is None else folder / f"chunk{number}of{len(todo)}"
        if part is not None and part.is_dir():
            logger.info("chunk %d of %d is already there", number, len(todo))
            fitted.append(read_part(part, features))
            continue
        label = f"folds {chunk[0].fold}-{chunk[-1].fold}"
        about = {"seed": seed, "device": device, "label": label, "images": images}
        fitted.append(fit_chunk(inputs, settings, chunk, clinical, shape, **about))
        if part is not None:
            write_part(part, fitted[-1], features)
    return fitted


def make_bundle(
    inputs: CohortInputs,
    settings: ModelSettings,
    fitted: Sequence[Fitted],
    predictions: pd.DataFrame,
    facts: Mapping,
    images: ImageBase | None = None,
) -> Bundle:
    """Join the chunks to the model bundle."""
    designs = {at: design for each in fitted for at, design in each.designs.items()}
    clinical = {at: design.parts.get("clinical") for at, design in designs.items()}
    baseline, percentiles = cross_fitted(predictions, inputs)
    first = fitted[0]
    scales = {name: [each.scales[name] for each in fitted] for name in first.scales}
    return Bundle(
        settings=settings,
        shape=network_shape(inputs, settings, clinical, images),
        networks=pd.concat([each.networks for each in fitted], ignore_index=True),
        weights={name: torch.cat([each.weights[name] for each in fitted]) for name in first.weights},
        designs=designs,
        scales={
            name: Scale(torch.cat([one.mean for one in each]), torch.cat([one.sd for one in each]))
            for name, each in scales.items()
        },
        images={} if images is None else images.shared(),
        features=raw_features(inputs, settings),
        linear=inputs.linear,
        covariates=inputs.covariates,
        baseline=baseline,
        percentiles=percentiles,
        facts=facts,
    )


def run_key(
    settings: ModelSettings,
    hashes: Mapping[str, str],
    covariates: Mapping,
    seeds: int,
    seed: int,
    device: torch.device,
) -> str:
    """Return a digest of everything that a chunk depends on."""
    parts = [settings.to_dict(), hashes, covariates, seeds, seed, device.type, torch.__version__]
    text = json.dumps([*parts, code_digest("train_model")], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def choose_device(name: str) -> torch.device:
    """Return where networks run; ``auto`` takes a GPU if there is one."""
    found = torch.cuda.is_available()
    if name == "cuda" and not found:
        raise ValueError("device is cuda, but this job has no GPU: request one, or set `device: auto`")
    return torch.device("cuda" if found and name != "cpu" else "cpu")


def warn_of_bags(inputs: CohortInputs, settings: ModelSettings) -> None:
    """Say so if the image features have seen the training patients."""
    if "slides" in settings.modalities and inputs.bags.in_sample_train:
        logger.warning(
            "the image features (%s) come from networks trained on the training patients themselves: in training, and "
            "on the inner parts, slides look better than they will on new patients",
            inputs.bags.source,
        )


def write_part(part: Path, fitted: Fitted, features: Mapping[str, tuple[str, ...]]) -> None:
    """Write a finished chunk as a folder, whole or not at all."""
    with atomic(part) as folder:
        folder.mkdir()
        for name in TABLES:
            getattr(fitted, name).to_parquet(folder / f"{name}.parquet")
        tensors, state = pack(fitted.designs, features)
        for name, each in (("weights", fitted.weights), ("designs", tensors), ("scales", pack_scales(fitted.scales))):
            stored = save({key: tensor.contiguous() for key, tensor in each.items()})
            (folder / f"{name}.safetensors").write_bytes(stored)
        (folder / "designs.json").write_text(json.dumps(state), encoding="utf-8")


def read_part(part: Path, features: Mapping[str, tuple[str, ...]]) -> Fitted:
    """Read what :func:`write_part` wrote."""
    tables = {name: pd.read_parquet(part / f"{name}.parquet") for name in TABLES}
    weights, tensors, scales = (load_file(part / f"{name}.safetensors") for name in ("weights", "designs", "scales"))
    state = json.loads((part / "designs.json").read_text(encoding="utf-8"))
    return Fitted(**tables, weights=weights, designs=unpack(tensors, state, features), scales=unpack_scales(scales))
