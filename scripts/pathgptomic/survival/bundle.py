"""The model bundle: everything that predicts new patients, in two files without code.

``model.safetensors`` holds the numbers (weights of all networks, what their preprocessing was fitted to),
``model.json`` the rest: settings, names of features, baseline hazard, cut-offs, versions, hashes of the data.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

import pathgptomic
from pathgptomic.cohort.breslow import Breslow, fit_breslow
from pathgptomic.files import atomic
from pathgptomic.survival.image_network import make_base
from pathgptomic.survival.inputs import CohortInputs
from pathgptomic.survival.network import FusionNetwork, Shape
from pathgptomic.survival.packing import Designs, pack, pack_scales, unpack, unpack_scales
from pathgptomic.survival.pooling import Scale
from pathgptomic.survival.settings import ModelSettings

FORMAT = 1
WEIGHT, DESIGN, SCALE, IMAGE = "weight/", "design/", "scale/", "image/"  # prefixes of tensor names
PERCENTILES = np.arange(101)
GROUPS = (100 / 3, 200 / 3)  # low, middle and high risk: thirds of the training patients


@dataclass(frozen=True)
class Bundle:
    """A trained model.

    Attributes
    ----------
    settings, shape
        Of the networks.
    networks
        One row a network, in the order of the weights: fold, seed, inner, epoch (kept), centre (mean training
        log-hazard, which predictions are relative to).
    weights
        Parameter -> [K, ...].
    designs
        (fold, inner) -> preprocessing.
    scales
        Encoder -> standardisation of what the networks pool: instances of slides, features of regions.
    images
        What the copies of an image network share: its running statistics and the weights that were not trained.
    features
        Modality -> columns of its raw table; of slides, the features of an instance.
    linear
        Tables on a linear scale.
    covariates
        Name -> kind.
    baseline
        Baseline hazard and slope, fitted on cross-fitted training log-hazards.
    percentiles
        0th to 100th percentile of the same, shape (101,).
    facts
        Training patients and deaths, seed, versions, hashes of the data.
    """

    settings: ModelSettings
    shape: Shape
    networks: pd.DataFrame
    weights: Mapping[str, Tensor]
    designs: Designs
    scales: Mapping[str, Scale]
    images: Mapping[str, Tensor]
    features: Mapping[str, tuple[str, ...]]
    linear: frozenset[str]
    covariates: Mapping
    baseline: Breslow
    percentiles: np.ndarray
    facts: Mapping

    def network(self) -> FusionNetwork:
        """Return the K networks."""
        images = None
        if "rois" in self.settings.modalities:
            images = make_base(self.settings.rois, pretrained=False)
            images.network.load_state_dict(self.images, strict=False)
        network = FusionNetwork(len(self.networks), self.shape, self.settings, images=images)
        # auxiliary heads serve training alone
        kept = {name: each for name, each in self.weights.items() if not name.startswith("auxiliary.")}
        network.load_state_dict(kept)
        return network

    def save(self, weights: str | Path, facts: str | Path) -> None:
        """Write model.safetensors and model.json."""
        tensors, designs = pack(self.designs, self.features)
        everything = {WEIGHT + name: each.contiguous() for name, each in self.weights.items()}
        everything |= {DESIGN + name: each for name, each in tensors.items()}
        everything |= {SCALE + name: each for name, each in pack_scales(self.scales).items()}
        everything |= {IMAGE + name: each.cpu().contiguous() for name, each in self.images.items()}
        content = {
            "format": FORMAT,
            "title": self.settings.title,
            "settings": self.settings.to_dict(),
            "modalities": list(self.settings.modalities),
            "covariates": dict(self.covariates),
            "features": {name: list(each) for name, each in self.features.items()},
            "linear": sorted(self.linear),
            "shape": {
                "inputs": dict(self.shape.inputs),
                "nullable": sorted(self.shape.nullable),
                "instances": self.shape.instances,
            },
            "networks": self.networks.to_dict("list"),
            "preprocessing": designs,
            "baseline": self.baseline.to_dict(),
            "percentiles": self.percentiles.tolist(),
            "risk_cut_offs": np.interp(GROUPS, PERCENTILES, self.percentiles).tolist(),
            **self.facts,
        }
        with atomic(weights) as temporary:
            temporary.write_bytes(save(everything))
        with atomic(facts) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, weights: str | Path, facts: str | Path) -> Bundle:
        """Read model.safetensors and model.json.

        Raises
        ------
        ValueError
            If the files are of another format, or not of the same model.
        """
        content = json.loads(Path(facts).read_text(encoding="utf-8"))
        if content.get("format") != FORMAT:
            raise ValueError(
                f"{facts} has the format {content.get('format')!r}, this version reads {FORMAT}: train the model again"
            )
        parts: dict[str, dict[str, Tensor]] = {WEIGHT: {}, DESIGN: {}, SCALE: {}, IMAGE: {}}
        with safe_open(weights, framework="pt") as stored:
            for name in stored.keys():  # noqa: SIM118 (no mapping)
                prefix, rest = name.split("/", 1)
                parts[prefix + "/"][rest] = stored.get_tensor(name)
        networks = pd.DataFrame(content["networks"])
        if len(next(iter(parts[WEIGHT].values()))) != len(networks):
            raise ValueError(f"{weights} and {facts} are not of one model: copy both files of the bundle")
        features = {name: tuple(each) for name, each in content["features"].items()}
        shape = content["shape"]
        return cls(
            settings=ModelSettings.from_dict(content["settings"]),
            shape=Shape(shape["inputs"], frozenset(shape["nullable"]), shape["instances"]),
            networks=networks,
            weights=parts[WEIGHT],
            designs=unpack(parts[DESIGN], content["preprocessing"], features),
            scales=unpack_scales(parts[SCALE]),
            images=parts[IMAGE],
            features=features,
            linear=frozenset(content["linear"]),
            covariates=content["covariates"],
            baseline=Breslow.from_dict(content["baseline"]),
            percentiles=np.array(content["percentiles"]),
            facts={name: content[name] for name in ("training", "seed", "versions", "data")},
        )


def cross_fitted(predictions: pd.DataFrame, inputs: CohortInputs) -> tuple[Breslow, np.ndarray]:
    """Return the baseline hazard and the percentiles of cross-fitted log-hazards.

    Every patient counts once, with the mean over folds and seeds of what networks said that had not seen them; the
    model's prediction for a new patient is a mean over the same networks.
    """
    inner = predictions[predictions["role"] == "inner"].groupby("patient_id")["log_hazard"].mean()
    patients = inputs.patients.loc[inner.index]
    baseline = fit_breslow(inner.to_numpy(), patients["time_days"].to_numpy(), patients["event"].to_numpy())
    return baseline, np.percentile(inner.to_numpy(), PERCENTILES)


def provenance(inputs: CohortInputs, seed: int, hashes: Mapping[str, str]) -> dict:
    """Return the bundle's facts about its training."""
    return {
        "training": {"patients": len(inputs.patients), "deaths": int(inputs.event.sum()), "folds": len(inputs.folds)},
        "seed": seed,
        "versions": {
            "pathgptomic": pathgptomic.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "pandas": pd.__version__,
        },
        "data": dict(hashes),
    }


def raw_features(inputs: CohortInputs, settings: ModelSettings) -> dict[str, tuple[str, ...]]:
    """Return {modality: columns of its raw table}."""
    found = {name: tuple(map(str, inputs.features[name].columns)) for name in inputs.features}
    if "slides" in settings.modalities:
        found["slides"] = tuple(inputs.bags.features)
    return found
