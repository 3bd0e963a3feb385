"""Preprocessing of many networks as tensors and plain JSON, for the model bundle and for finished parts of a run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from pathgptomic.survival.design import ClinicalDesign, Design, TableDesign
from pathgptomic.survival.pooling import Scale
from pathgptomic.survival.preprocess import CovariateEncoder, FeatureScaler

Designs = Mapping[tuple[int, int], Design]  # (fold, inner) -> how that network reads a patient
NUMBERS = ("fill", "low", "high", "mean", "sd")  # of a scaler, one value a feature


def pack(designs: Designs, features: Mapping[str, tuple[str, ...]]) -> tuple[dict[str, Tensor], dict]:
    """Return tensors by name and JSON.

    Parameters
    ----------
    designs
        Of each network.
    features
        Modality -> all columns of its raw table; a scaler's features are stored as their places in it.
    """
    tensors: dict[str, Tensor] = {}
    state: dict = {"columns": {}, "networks": {}}
    for (fold, inner), design in designs.items():
        parts = state["networks"][f"{fold}.{inner}"] = {}
        for modality, part in design.parts.items():
            state["columns"][modality] = list(part.columns)  # the same in every network
            if isinstance(part, ClinicalDesign):
                parts[modality] = part.encoder.to_dict()
                continue
            parts[modality] = {"factor": part.factor, "log": part.scaler.log}
            place = {name: i for i, name in enumerate(features[modality])}
            name = f"{fold}.{inner}.{modality}"
            tensors[f"{name}.index"] = torch.tensor([place[each] for each in part.scaler.names], dtype=torch.int32)
            for number in NUMBERS:
                tensors[f"{name}.{number}"] = torch.tensor(getattr(part.scaler, number), dtype=torch.float32)
            if part.components is not None:
                tensors[f"{name}.components"] = torch.from_numpy(np.ascontiguousarray(part.components))
    return tensors, state


def pack_scales(scales: Mapping[str, Scale]) -> dict[str, Tensor]:
    """Return standardisations by encoder as tensors by name."""
    return {f"{name}.{number}": getattr(each, number) for name, each in scales.items() for number in ("mean", "sd")}


def unpack_scales(tensors: Mapping[str, Tensor]) -> dict[str, Scale]:
    """Return what :func:`pack_scales` was given."""
    names = {name.rpartition(".")[0] for name in tensors}
    return {name: Scale(tensors[f"{name}.mean"], tensors[f"{name}.sd"]) for name in sorted(names)}


def unpack(tensors: Mapping[str, Tensor], state: Mapping, features: Mapping[str, tuple[str, ...]]) -> Designs:
    """Return what :func:`pack` was given."""
    designs = {}
    for network, parts in state["networks"].items():
        found: dict[str, TableDesign | ClinicalDesign] = {}
        for modality, facts in parts.items():
            columns = tuple(state["columns"][modality])
            if modality == "clinical":
                found[modality] = ClinicalDesign(CovariateEncoder.from_dict(facts), columns)
                continue
            name = f"{network}.{modality}"
            names = tuple(features[modality][i] for i in tensors[f"{name}.index"].tolist())
            numbers = (tuple(tensors[f"{name}.{number}"].tolist()) for number in NUMBERS)
            components = tensors.get(f"{name}.components")
            found[modality] = TableDesign(
                FeatureScaler(names, *numbers, log=facts["log"]),
                columns,
                facts["factor"],
                None if components is None else components.numpy(),
            )
        fold, inner = map(int, network.split("."))
        designs[fold, inner] = Design(found)
    return designs
