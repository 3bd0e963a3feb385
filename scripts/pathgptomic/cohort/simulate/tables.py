"""Write a simulated cohort as a facility's own tables (the form that `source: tables` reads)."""

import json
import logging
from pathlib import Path
from typing import Any

import h5py
import pandas as pd
from tqdm import tqdm

from pathgptomic.cohort.simulate.expression import bulk_expression
from pathgptomic.cohort.simulate.slides import TILE_PIXELS, Bag, slide_bags
from pathgptomic.cohort.simulate.spec import Spec
from pathgptomic.cohort.simulate.truth import truth
from pathgptomic.cohort.simulate.world import World, simulate
from pathgptomic.files import atomic

logger = logging.getLogger(__name__)


def simulate_tables(
    *,
    settings: dict[str, Any],
    seed: int,
    clinical_out: str,
    expression_out: str,
    cnv_out: str,
    mutations_out: str,
    features_out: str,
    truth_out: str,
    hazards_out: str,
) -> None:
    """Simulate a cohort and write it as tables.

    Written are `clinical` (tsv), `expression` (linear TPM, parquet), `cnv` (copies by chromosome arm, parquet),
    `mutations` (0/1, parquet), a folder of one HDF5 a slide, the planted truth (json) and every patient's true
    log-hazard with its parts (tsv).
    """
    spec = Spec.from_dict(settings)
    world = simulate(spec, seed)
    patients = world.patients
    clinical = patients[["site", "age", "sex", "grade", "time_days"]].assign(
        time_days=patients["time_days"].astype(int), vital_status=patients["event"].map({True: "Dead", False: "Alive"})
    )
    with atomic(clinical_out) as path:
        clinical.to_csv(path, sep="\t")
    expression = bulk_expression(world, spec, seed)
    _write_parquet(expression[patients["has_expression"]], expression_out)
    _write_parquet(world.copy_number[patients["has_cnv"]].astype("int8"), cnv_out)
    _write_parquet(world.mutations[patients["has_mutations"]].astype("int8"), mutations_out)
    with atomic(features_out) as folder:
        folder.mkdir()
        for bag in tqdm(slide_bags(world, spec, seed), desc="slides", unit="slide"):
            _write_bag(bag, folder / f"{bag.slide_id}.h5")
    write_truth(world, spec, seed, truth_out=truth_out, hazards_out=hazards_out)


def write_truth(world: World, spec: Spec, seed: int, *, truth_out: str, hazards_out: str) -> None:
    """Write the planted truth (json) and the log-hazard of every patient with its parts (tsv)."""
    planted = truth(world, spec, seed)
    logger.info(
        "simulated %d patients with %d deaths; C-index of the true hazard %.3f",
        planted["patients"],
        planted["events"],
        planted["c_index"],
    )
    with atomic(truth_out) as path:
        path.write_text(json.dumps(planted, indent=2) + "\n")
    with atomic(hazards_out) as path:
        world.parts.assign(log_hazard=world.log_hazard).to_csv(path, sep="\t", float_format="%.6f")


def _write_parquet(table: pd.DataFrame, out: str) -> None:
    with atomic(out) as path:
        table.to_parquet(path)


def _write_bag(bag: Bag, path: Path) -> None:
    with h5py.File(path, "w") as handle:
        handle["coords"] = bag.coords
        handle["features"] = bag.features
        handle["coords"].attrs["patch_size"] = TILE_PIXELS // 2
        handle["coords"].attrs["patch_size_level0"] = TILE_PIXELS
        handle["features"].attrs["encoder"] = "simulated"
