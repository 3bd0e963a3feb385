"""Fit the networks of some folds together: preprocessing, stacking, training, predictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pathgptomic.survival.balance import make_strategy
from pathgptomic.survival.design import ClinicalDesign, Design, fit_design, input_widths, raw_tables
from pathgptomic.survival.fit import Data, fit, predictions
from pathgptomic.survival.image_network import ImageBase, first_scale
from pathgptomic.survival.inputs import CohortInputs
from pathgptomic.survival.layers import Linear
from pathgptomic.survival.network import FusionNetwork, Shape
from pathgptomic.survival.packing import Designs
from pathgptomic.survival.pictures import Pictures
from pathgptomic.survival.pooling import Instances, Scale
from pathgptomic.survival.settings import ModelSettings
from pathgptomic.survival.stack import Member, encoder_present, make_block, nullable

# Numbers that one step of a chunk may touch, 32 MB on a CPU: more saves no time but keeps finished folds waiting.
STEP_ELEMENTS = {"cpu": 8_000_000, "cuda": 250_000_000}


@dataclass(frozen=True)
class Fitted:
    """What the networks of some folds became.

    Attributes
    ----------
    predictions, history
        Rows of predictions.tsv and of history.parquet.
    weights
        Parameter -> [K', ...] of the networks that predict new patients, in the order of `networks`.
    networks
        (fold, seed, inner, kept epoch, mean training log-hazard) of each.
    designs
        (fold, inner) -> preprocessing, of the same networks.
    scales
        Encoder -> standardisation [K', d] of what its networks pool: instances of slides, features of regions.
    """

    predictions: pd.DataFrame
    history: pd.DataFrame
    networks: pd.DataFrame
    weights: Mapping[str, Tensor]
    designs: Designs
    scales: Mapping[str, Scale]


def chunks(
    networks: Sequence[Member],
    inputs: CohortInputs,
    settings: ModelSettings,
    shape: Shape,
    device: torch.device,
    images: ImageBase | None = None,
) -> Iterator[list[Member]]:
    """Yield the networks of as many folds at a time as are worth stacking."""
    rows = max(len(fold.train) for fold in inputs.folds)
    rows = rows if settings.loss.risk_set == "full" else settings.loss.batch_size
    a_fold = len(networks) // len(inputs.folds) * step_elements(shape, settings, rows, images)
    at_a_time = max(STEP_ELEMENTS[device.type] // a_fold, 1)
    folds = list(dict.fromkeys(each.fold for each in networks))
    for chosen in np.array_split(folds, -(-len(folds) // at_a_time)):
        yield [each for each in networks if each.fold in chosen]


def step_elements(shape: Shape, settings: ModelSettings, rows: int, images: ImageBase | None = None) -> int:
    """Return about how many numbers a step of one network touches.

    Weights, gradients and the two moments of the optimiser; what goes into and comes out of each layer.
    """
    network = FusionNetwork(1, shape, settings, images=images)
    layers = [each.weight.shape[1:] for each in network.modules() if isinstance(each, Linear)]
    return 4 * sum(each.numel() for each in network.parameters()) + rows * sum(map(sum, layers))


def fit_chunk(
    inputs: CohortInputs,
    settings: ModelSettings,
    networks: Sequence[Member],
    clinical: Mapping[tuple[int, int], ClinicalDesign],
    shape: Shape,
    *,
    seed: int,
    device: torch.device,
    label: str = "",
    images: ImageBase | None = None,
) -> Fitted:
    """Fit `networks`, which are all those of one or more folds.

    Parameters
    ----------
    clinical
        How each network reads the covariates, see `design.clinical_designs`.
    shape
        Of the model's networks, see :func:`network_shape`.
    images
        The image network of a model that reads regions of interest.
    """
    data, designs = assemble(inputs, settings, networks, clinical, device, images)
    auxiliary = "auxiliary" in make_strategy(settings.balance).needs
    network = FusionNetwork(len(networks), shape, settings, auxiliary=auxiliary, images=images).to(device)
    history, epochs = fit(network, data, networks, settings, seed=seed, batches=batches(inputs, settings), label=label)
    table, centre = predictions(network, data, networks, inputs.patients.index, settings)
    kept = [k for k, each in enumerate(networks) if each.inner == 0 or settings.predictor == "ensemble"]
    facts = [(networks[k].fold, networks[k].seed, networks[k].inner, epochs[k], centre[k]) for k in kept]
    pooled = {name: getattr(data, name) for name in ("slides", "rois") if getattr(data, name) is not None}
    return Fitted(
        table,
        history.table(),
        pd.DataFrame(facts, columns=["fold", "seed", "inner", "epoch", "centre"]),
        {name: each.detach()[kept].cpu() for name, each in network.named_parameters()},
        {(networks[k].fold, networks[k].inner): designs[networks[k].fold, networks[k].inner] for k in kept},
        {name: Scale(scale.mean[kept].cpu(), scale.sd[kept].cpu()) for name, (_, scale) in pooled.items()},
    )


def network_shape(
    inputs: CohortInputs, settings: ModelSettings, clinical: Mapping, images: ImageBase | None = None
) -> Shape:
    """Return the shape of a model's networks; `clinical` and `images` as for :func:`fit_chunk`."""
    attention = "slides" in settings.modalities and settings.pooling == "attention"
    return Shape(
        input_widths(inputs, settings, clinical, 0 if images is None else images.features),
        nullable(inputs, settings),
        len(inputs.bags.features) if attention else 0,
    )


def assemble(
    inputs: CohortInputs,
    settings: ModelSettings,
    networks: Sequence[Member],
    clinical: Mapping[tuple[int, int], ClinicalDesign],
    device: torch.device,
    images: ImageBase | None = None,
) -> tuple[Data, Designs]:
    """Fit each network's preprocessing on its own training patients, and stack what it gives."""
    absent = nullable(inputs, settings)
    present = {encoder: encoder_present(inputs, settings.encoders[encoder]) for encoder in absent}
    designs: dict[tuple[int, int], Design] = {}
    numbers: dict[tuple[int, int], dict[str, np.ndarray]] = {}
    for fold in dict.fromkeys(each.fold for each in networks):
        tables = raw_tables(inputs, settings, fold)
        for each in networks:
            at = (fold, each.inner)
            if each.fold == fold and at not in designs:  # seeds share it
                designs[at] = fit_design(inputs, tables, each.rows, settings, clinical.get(at))
                numbers[at] = designs[at].transform(tables, settings.encoders)
    train, left_out, test = (
        make_block(
            [getattr(each, part) for each in networks],
            [numbers[each.fold, each.inner] for each in networks],
            present,
            device,
        )
        for part in ("rows", "left_out", "test")
    )
    slides = rois = None
    if "slides" in settings.modalities and settings.pooling == "attention":
        folds = [each.fold for each in networks]
        bags = Instances(inputs.bags, inputs.patients.index, folds, settings.network.attention, device)
        slides = bags, bags.scale([each.rows for each in networks])
    if images is not None:
        crop, most = settings.rois.crop, settings.rois.batch
        pictures = Pictures(inputs.rois, inputs.patients.index, crop=crop, most=most, device=device)
        spread = settings.reduction("rois").scale
        rois = pictures, first_scale(images, pictures, [each.rows for each in networks], spread)
    return Data(train, left_out, test, inputs.time_days, inputs.event, slides, rois), designs


def batches(inputs: CohortInputs, settings: ModelSettings) -> int:
    """Return the steps of an epoch: one number for all networks of a model, so that they stay in step."""
    if settings.loss.risk_set == "full":
        return 1
    return -(-max(len(fold.train) for fold in inputs.folds) // settings.loss.batch_size)
