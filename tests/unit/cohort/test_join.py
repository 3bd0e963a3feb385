"""Who stays in a cohort, and whether the flow table accounts for everybody."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathgptomic.cohort.join import join
from pathgptomic.cohort.source import Source
from pathgptomic.cohort.tables import no_features
from tests.unit.cohort.facility import Facility

SETTINGS = {
    "covariates": {"age": "numeric"},
    "splits": {"scheme": "kfold"},
    "audit": {
        "event_polarity": "warn",
        "time_unit": "stop",
        "adverse": None,
        "missing_outcome": "drop",
        "non_positive_time": "drop",
        "minimum_overlap": 0.0,
    },
}
MODALITIES = ("clinical", "expression", "cnv", "mutations", "slides")


def source(generator: np.random.Generator, share: float) -> Source:
    """Return tables in which every patient has each modality with probability `share`."""
    ids = pd.Index([f"P{n:02d}" for n in range(40)], name="patient_id")
    time = generator.uniform(1, 2000, 40)
    time[:2], time[2] = [0.0, -5.0], np.nan
    time[-1] = 1500.0
    clinical = pd.DataFrame(
        {
            "time_days": time,
            "event": pd.array(generator.uniform(size=40) < 0.5, dtype="boolean"),
            "site": "",
            "stratum": "",
            "age": np.where(generator.uniform(size=40) < share, "60", None),
        },
        index=ids,
    ).replace({None: np.nan})
    tables = {}
    for name in MODALITIES[1:4]:
        with_it = ids[generator.uniform(size=40) < share]
        tables[name] = pd.DataFrame({"G": 1.0}, index=with_it) if len(with_it) else no_features()
    slides = frozenset(ids[generator.uniform(size=40) < share])
    return Source(clinical, dict.fromkeys(MODALITIES, "table.csv"), with_slides=slides, **tables)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 999),
    missing=st.sampled_from(["drop", "mask"]),
    modalities=st.lists(st.sampled_from(MODALITIES), min_size=1, max_size=5, unique=True),
)
def test_the_flow_accounts_for_everybody(seed: int, missing: str, modalities: list[str]):
    tables = source(np.random.default_rng(seed), 0.8)
    cohort = join(tables, SETTINGS | {"missing": missing, "modalities": modalities})
    flow, ids = cohort.flow, cohort.patients.index
    assert flow["remaining"].iloc[0] == 40
    assert (flow["remaining"].diff().iloc[1:] == -flow["dropped"].iloc[1:]).all()
    assert flow["remaining"].iloc[-1] == len(ids)
    assert flow["events"].iloc[-1] == cohort.patients["event"].sum()
    assert not {"P00", "P01", "P02"} & set(ids)
    has = {name: set(tables.patients_with(name)) for name in MODALITIES}
    usable = set(tables.clinical.index) - {"P00", "P01", "P02"}
    choose = set.intersection if missing == "drop" else set.union
    assert set(ids) == usable & choose(*(has[name] for name in modalities))
    for name in MODALITIES:
        assert set(ids[cohort.patients[f"has_{name}"]]) == has[name] & set(ids)


def test_nobody_left_is_said_with_the_reasons():
    tables = source(np.random.default_rng(1), 0.0)
    tables.clinical["age"] = "60"
    with pytest.raises(ValueError, match=r"no patient of the cohort is left \(.*no expression: 37"):
        join(tables, SETTINGS | {"missing": "drop", "modalities": ["expression"]})


def test_masked_patients_keep_what_they_have(tmp_path: Path):
    facility = Facility(tmp_path)
    facility.expression.iloc[10:].to_csv(tmp_path / "expression.csv")
    cnv = facility.cnv.astype(float)
    cnv.iloc[20:30] = np.nan  # rows without any value are not a modality
    cnv.to_csv(tmp_path / "cnv.csv")
    strict = facility.build()
    assert len(strict.patients) == 60
    assert "no expression" in strict.flow["reason"].tolist()
    facility.cohort["missing"] = "mask"
    masked = facility.build()
    assert len(masked.patients) == 80
    assert len(masked.expression) == 70
    assert len(masked.cnv) == 70
    assert (~masked.patients["has_expression"]).sum() == 10
    assert masked.mutations.shape == (80, 3)


def test_patients_outside_the_published_folds_are_dropped(tmp_path: Path):
    facility = Facility(tmp_path)
    facility.splits.iloc[7:].to_csv(tmp_path / "splits.csv")
    built = facility.build()
    row = built.flow.iloc[-1]
    assert row["reason"] == "in no fold of the published splits"
    assert row["dropped"] == 7
    assert len(built.patients) == 73
    facility.cohort["splits"]["scheme"] = "kfold"
    assert len(facility.build().patients) == 80


def test_a_cohort_without_a_modality_has_an_empty_table(tmp_path: Path):
    facility = Facility(tmp_path)
    facility.cohort["tables"]["mutations"] = None
    facility.cohort["modalities"] = ["clinical", "expression"]
    built = facility.build()
    assert built.mutations.shape == (0, 0)
    assert not built.patients["has_mutations"].any()
    assert built.patients["has_cnv"].all()  # there, though not asked for
