"""What was planted, in words and numbers: the file that results are held against."""

from typing import Any

import numpy as np
import pandas as pd

from pathgptomic.cohort.simulate.spec import Spec
from pathgptomic.cohort.simulate.world import HARMFUL_ARM, HARMFUL_GENE, PROTECTIVE_GENE, World

PLACES = {
    "cells": ("expression", "macrophages against T cells in the bulk expression", ["macrophage", "T cell"]),
    "mutations": ("mutations", "two mutated genes, one harmful, one protective", [HARMFUL_GENE, PROTECTIVE_GENE]),
    "cnv": ("cnv", "loss of a chromosome arm", [HARMFUL_ARM]),
    "density": ("slides", "nuclear density of the tumour on the slide", ["nuclear density"]),
    "age": ("clinical", "age at diagnosis", ["age"]),
}
GENOMIC_PARTS = ["cells", "mutations", "cnv"]


def concordance(time: np.ndarray, event: np.ndarray, risk: np.ndarray) -> float:
    """Return Harrell's C-index (ties in risk count one half); NaN where no pair can be compared.

    Parameters
    ----------
    time, event, risk
        (n,) observed times, True where death was observed, larger = worse.
    """
    concordant = pairs = 0.0
    for i in np.flatnonzero(event):
        later = (time > time[i]) | ((time == time[i]) & ~event)
        pairs += later.sum()
        concordant += (risk[i] > risk[later]).sum() + 0.5 * (risk[i] == risk[later]).sum()
    return float(concordant / pairs) if pairs else float("nan")


def truth(world: World, spec: Spec, seed: int) -> dict[str, Any]:
    """Return the planted truth: each part with its place, effect and C-index, and the C-index of the true hazard."""
    time, event = world.patients["time_days"].to_numpy(), world.patients["event"].to_numpy()

    def c_index(risk: pd.Series) -> float:
        return round(concordance(time, event, risk.to_numpy()), 4)

    parts = {
        part: {
            "modality": modality,
            "what": what,
            "features": features,
            "effect": spec.effects.get(part, 0.0),
            "c_index": c_index(world.parts[part]),
        }
        for part, (modality, what, features) in PLACES.items()
    }
    return {
        "seed": seed,
        "patients": len(world.patients),
        "events": int(event.sum()),
        "c_index": c_index(world.log_hazard),
        "c_index_genomics": c_index(world.parts[GENOMIC_PARTS].sum(axis=1)),
        "parts": parts,
    }
