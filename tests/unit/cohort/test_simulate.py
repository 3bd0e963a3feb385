"""The simulated cohort holds what its truth says it holds."""

import json
from dataclasses import asdict
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from lifelines import CoxPHFitter
from lifelines.utils import concordance_index

from pathgptomic.cohort.gdc.genome import ARMS
from pathgptomic.cohort.simulate.expression import MARKERS, bulk_expression
from pathgptomic.cohort.simulate.genes import gene_table
from pathgptomic.cohort.simulate.slides import slide_bags
from pathgptomic.cohort.simulate.spec import PARTS, Spec
from pathgptomic.cohort.simulate.tables import simulate_tables
from pathgptomic.cohort.simulate.truth import concordance, truth
from pathgptomic.cohort.simulate.world import simulate
from pathgptomic.config import with_defaults
from pathgptomic.files import sha256_file

NAMES = {
    "clinical_out": "clinical.tsv",
    "expression_out": "expression.parquet",
    "cnv_out": "cnv.parquet",
    "mutations_out": "mutations.parquet",
    "features_out": "features",
    "truth_out": "truth.json",
    "hazards_out": "true_hazards.tsv",
}


def write(folder: Path, seed: int, **settings) -> dict[str, str]:
    simulate_tables(settings=settings, seed=seed, **{key: str(folder / name) for key, name in NAMES.items()})
    return {p.name: sha256_file(p) for p in sorted(folder.glob("*.*")) if p.is_file()}


def test_same_seed_gives_the_same_files(tmp_path):
    first = write(tmp_path / "a", 3, patients=30, genes=200)
    again = write(tmp_path / "b", 3, patients=30, genes=200)
    other = write(tmp_path / "c", 4, patients=30, genes=200)
    assert first == again
    assert set(first) == {name for name in NAMES.values() if "." in name}
    assert not set(first.values()) & set(other.values())


def test_defaults_of_the_schema_are_those_of_the_spec(root):
    schema = yaml.safe_load((root / "config/schemas/gdc.schema.yaml").read_text())["cohort"]["simulate"]
    filled = with_defaults({}, schema)
    assert Spec.from_dict(filled) == Spec.from_dict(asdict(Spec(effects={}, missing={})))
    assert set(filled) == set(asdict(Spec(effects={}, missing={})))


def test_tables_hold_the_planted_cohort(tmp_path):
    write(tmp_path, 1, patients=60, genes=300, missing={"cnv": 0.5})
    clinical = pd.read_csv(tmp_path / "clinical.tsv", sep="\t", index_col=0, dtype={"site": str})
    hazards = pd.read_csv(tmp_path / "true_hazards.tsv", sep="\t", index_col=0)
    planted = json.loads((tmp_path / "truth.json").read_text())
    assert clinical.index.equals(hazards.index)
    assert clinical.index.is_monotonic_increasing
    assert (clinical["site"] == clinical.index.str[5:7]).all()
    assert hazards[list(PARTS)].sum(axis=1).to_numpy() == pytest.approx(hazards["log_hazard"].to_numpy(), abs=1e-5)
    dead = clinical["vital_status"] == "Dead"
    assert planted["c_index"] == pytest.approx(
        concordance_index(clinical["time_days"], -hazards["log_hazard"], dead), abs=1e-4
    )
    assert planted["events"] == dead.sum()
    cnv = pd.read_parquet(tmp_path / "cnv.parquet")
    assert 15 < len(cnv) < 45
    assert tuple(cnv.columns) == ARMS
    with h5py.File(sorted((tmp_path / "features").glob("*.h5"))[0]) as bag:
        assert bag["coords"].dtype == np.int64
        assert bag["features"].dtype == np.float16
        assert len(bag["coords"]) == len(bag["features"]) == 48


@pytest.mark.parametrize("seed", range(3))
def test_concordance_equals_lifelines_with_ties(seed):
    generator = np.random.default_rng(seed)
    time, risk = generator.integers(1, 20, 80), generator.integers(0, 6, 80).astype(float)
    event = generator.random(80) < 0.5
    assert concordance(time, event, risk) == pytest.approx(concordance_index(time, -risk, event), abs=1e-12)


def test_cox_regression_recovers_the_planted_effects():
    spec = Spec(patients=3000)
    world = simulate(spec, 5)
    table = world.parts.assign(time=world.patients["time_days"], event=world.patients["event"])
    fitted = CoxPHFitter().fit(table, "time", "event")
    # the parts are in units of the log-hazard: every coefficient is 1
    assert ((fitted.params_ - 1).abs() < 4 * fitted.standard_errors_).all()
    assert world.patients["event"].mean() == pytest.approx(spec.event_fraction, abs=1 / 3000)
    assert world.parts.std(ddof=0).to_dict() == pytest.approx(dict(spec.effects))
    assert truth(world, spec, 5)["c_index"] > 0.75


def test_each_part_is_in_its_place():
    spec = Spec(patients=400, sites=4)
    world = simulate(spec, 2)
    log_tpm = np.log1p(bulk_expression(world, spec, 2))
    assert np.expm1(log_tpm).sum(axis=1).to_numpy() == pytest.approx(np.full(400, 1e6), rel=1e-4)
    score = log_tpm[MARKERS["macrophage"].split()].mean(axis=1) - log_tpm[MARKERS["T cell"].split()].mean(axis=1)
    assert np.corrcoef(score, world.parts["cells"])[0, 1] > 0.9
    bags = slide_bags(world, spec, 2)
    means = pd.DataFrame({b.slide_id: b.features.astype(float).mean(axis=0) for b in bags}).T
    density = world.density[[b.patient_id for b in bags]].to_numpy()
    site = pd.get_dummies(pd.Series(means.index.str[5:7])).to_numpy(float)
    design = np.hstack([site, means.to_numpy()])
    fitted = design @ np.linalg.lstsq(design, density, rcond=None)[0]
    assert np.corrcoef(fitted, density)[0, 1] > 0.9


def test_an_effect_of_zero_plants_nothing():
    world = simulate(Spec(effects=dict.fromkeys(PARTS, 0.0), patients=50), 1)
    assert (world.log_hazard == 0).all()


def test_gene_table_is_real_first_then_made_up():
    genes = gene_table(2500)
    assert genes["symbol"].is_unique
    assert genes["ensembl_id"].is_unique
    assert genes["symbol"].iloc[0] == "CD3D"
    assert genes["symbol"].iloc[-1] == "SIM02499"
    assert set(genes.loc[genes["symbol"] == "EGFR", "arm"]) == {"7p"}
    assert set(genes.loc[genes["symbol"] == "PTEN", "arm"]) == {"10q"}


def test_unknown_part_is_refused():
    with pytest.raises(ValueError, match="'stage', which is not one of cells"):
        Spec(effects={"stage": 1.0})
