"""What a simulated cohort is: sizes, the strength of each planted part of the risk, follow-up."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Self

PARTS = ("cells", "mutations", "cnv", "density", "age")
MODALITIES = ("expression", "cnv", "mutations", "slides")

# Standard deviation of each part's contribution to the log-hazard; together they allow a C-index of about 0.8.
EFFECTS = MappingProxyType({"cells": 0.9, "mutations": 0.6, "cnv": 0.6, "density": 0.9, "age": 0.5})
MISSING = MappingProxyType({"expression": 0.02, "cnv": 0.02, "mutations": 0.02, "slides": 0.02})


@dataclass(frozen=True)
class Spec:
    """Settings of a simulated cohort (the `simulate` section of a cohort file).

    `effects` are standard deviations on the scale of the log-hazard, `missing` the share of patients without a
    modality, `batch_effect` the standard deviation of the site effects relative to the biological one.
    """

    patients: int = 160
    genes: int = 2000
    mutated_genes: int = 40
    sites: int = 8
    tiles: int = 48
    tile_features: int = 32
    slide_pixels: int = 1024
    effects: Mapping[str, float] = field(default_factory=lambda: EFFECTS)
    missing: Mapping[str, float] = field(default_factory=lambda: MISSING)
    batch_effect: float = 0.3
    event_fraction: float = 0.55
    accrual_days: int = 2500
    study_days: int = 3650
    dropout_days: float = 6000.0
    weibull_shape: float = 1.3

    def __post_init__(self) -> None:
        for name, given, known in (("effects", self.effects, PARTS), ("missing", self.missing, MODALITIES)):
            if unknown := sorted(set(given) - set(known)):
                raise ValueError(f"simulate.{name} names {unknown[0]!r}, which is not one of {', '.join(known)}.")
        if self.patients < 2 or self.sites < 1 or self.mutated_genes < 2 or self.genes < 100:
            raise ValueError(
                f"simulate asks for {self.patients} patients, {self.sites} sites, {self.mutated_genes} mutated genes "
                f"and {self.genes} genes, and needs at least 2, 1, 2 and 100."
            )
        if not 0 < self.event_fraction < 1:
            raise ValueError(f"simulate.event_fraction is {self.event_fraction}, and must lie between 0 and 1.")

    @classmethod
    def from_dict(cls, settings: Mapping) -> Self:
        """Read the `simulate` section; parts and modalities that it leaves out keep their defaults."""
        known = {f.name for f in fields(cls)}
        given = {key: value for key, value in settings.items() if key in known}
        if "effects" in given:
            given["effects"] = dict(EFFECTS) | given["effects"]
        if "missing" in given:
            given["missing"] = dict(MISSING) | given["missing"]
        return cls(**given)
