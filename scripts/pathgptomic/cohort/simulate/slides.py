"""Instance features of simulated slides: bags whose tumour tiles carry the nuclear density."""

from dataclasses import dataclass

import numpy as np

from pathgptomic.cohort.simulate.spec import Spec
from pathgptomic.cohort.simulate.world import World
from pathgptomic.seeds import rng

TUMOUR_SHARE = 0.65
TILE_PIXELS = 512  # level-0 size of a tile of 256 pixels at 0.5 microns per pixel on a 40x slide
SECOND_SLIDE = 0.2  # share of patients with two slides


@dataclass(frozen=True)
class Bag:
    """One slide: `coords` (tiles x 2, int64, level-0 pixels) and `features` (tiles x features, float16)."""

    slide_id: str
    patient_id: str
    coords: np.ndarray
    features: np.ndarray


def slide_bags(world: World, spec: Spec, seed: int) -> list[Bag]:
    """Return the slides of all patients that have any; tiles are tumour or normal, stained as their site stains."""
    generator = rng(seed, "simulate", "slide features")
    width = spec.tile_features
    dense, normal = generator.normal(size=(2, width))
    dense *= 1.5 / np.linalg.norm(dense)
    normal *= 3.0 / np.linalg.norm(normal)
    sites = sorted(set(world.patients["site"]))
    stain = dict(zip(sites, spec.batch_effect * generator.normal(size=(len(sites), width)), strict=True))
    bags = []
    for patient_id, patient in world.patients[world.patients["has_slides"]].iterrows():
        for number in range(1, 2 + int(generator.random() < SECOND_SLIDE)):
            tumour = generator.random(spec.tiles) < TUMOUR_SHARE
            density = world.density[patient_id] + 0.3 * generator.normal()
            features = np.where(tumour[:, None], density * dense, normal) + generator.normal(size=(spec.tiles, width))
            side = int(np.ceil(np.sqrt(spec.tiles)))
            grid = np.stack(np.divmod(np.arange(spec.tiles), side), axis=1)[:, ::-1]
            bags.append(
                Bag(
                    slide_id=f"{patient_id}-01Z-00-DX{number}",
                    patient_id=str(patient_id),
                    coords=grid.astype(np.int64) * TILE_PIXELS,
                    features=(features + stain[patient["site"]]).astype(np.float16),
                )
            )
    return bags
