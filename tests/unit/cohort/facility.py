"""A made-up facility with 80 patients and its tables in plain form: what every dialect is a variation of."""

import copy
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from pathgptomic.cohort.build import build_cohort
from pathgptomic.cohort.checks import errors
from pathgptomic.cohort.files import published_files, table_files
from pathgptomic.cohort.folds import make_splits
from pathgptomic.cohort.tables import (
    read_audit,
    read_expression,
    read_features,
    read_flow,
    read_patients,
    read_slides,
    read_splits,
)
from pathgptomic.config import compose_schemas, with_defaults
from tests.conftest import ROOT

COHORT = """
title: Made-up facility
tables:
  clinical:
    path: clinical.csv
    time: {column: time_days, unit: days}
    event: {column: event, observed: [1]}
  expression: {path: expression.csv, scale: linear}
  cnv: {path: cnv.csv}
  mutations: {path: mutations.csv}
  splits: {path: splits.csv}
modalities: [clinical, expression, cnv, mutations]
covariates:
  age: numeric
  sex: nominal
  grade: {ordinal: [G2, G3, G4]}
site: {column: site}
stratum: project
splits: {scheme: published, inner_folds: 3}
audit: {minimum_events_per_fold: 2}
"""


@functools.cache
def cohort_schema() -> dict[str, Any]:
    """Return the schema of a cohort file."""
    return compose_schemas(ROOT / "config" / "schemas")[1]


class Facility:
    """Tables of the facility, their cohort file, and the folder where a test may rewrite either."""

    def __init__(self, folder: Path, patients: int = 80, seed: int = 5):
        self.folder = folder
        self.cohort: dict[str, Any] = yaml.safe_load(COHORT)
        generator = np.random.default_rng(seed)
        site = generator.choice(["02", "06", "HT", "DU"], patients)
        ids = [f"TCGA-{place}-{number:04d}" for number, place in enumerate(site)]
        index = pd.Index(ids, name="patient_id")
        age = generator.integers(25, 85, patients)
        grade = generator.integers(0, 3, patients)
        death = generator.exponential(1500 * np.exp(-0.05 * (age - 55) - 0.9 * (grade - 1)))
        leave = generator.uniform(300, 3000, patients)
        self.clinical = pd.DataFrame(
            {
                "time_days": np.maximum(1, np.minimum(death, leave).round()).astype(int),
                "event": (death <= leave).astype(int),
                "age": age,
                "sex": generator.choice(["female", "male"], patients),
                "grade": np.array(["G2", "G3", "G4"])[grade],
                "site": site,
                "project": generator.choice(["TCGA-GBM", "TCGA-LGG"], patients),
            },
            index=index,
        )
        genes = ["TP53", "EGFR", "IDH1", "PTEN", "ATRX", "CIC"]
        self.expression = pd.DataFrame(generator.lognormal(3, 2, (patients, 6)).round(4), index=index, columns=genes)
        self.cnv = pd.DataFrame(generator.integers(-2, 3, (patients, 4)), index=index, columns=genes[:4])
        self.mutations = pd.DataFrame(generator.integers(0, 2, (patients, 3)), index=index, columns=genes[:3])
        fold = generator.permutation(patients) % 4 + 1
        self.splits = pd.DataFrame({f"fold{k}": np.where(fold == k, "test", "train") for k in range(1, 5)}, index=index)
        for name in ("clinical", "expression", "cnv", "mutations", "splits"):
            getattr(self, name).to_csv(folder / f"{name}.csv")

    def table(self, name: str) -> dict[str, Any]:
        """Return a table's section of the cohort file, to change it."""
        return self.cohort["tables"][name]

    def settings(self) -> dict[str, Any]:
        """Return the cohort file with its defaults."""
        return with_defaults(copy.deepcopy(self.cohort), cohort_schema())

    @property
    def config(self) -> dict[str, Any]:
        """Return the keys of config.yaml that the cohort stage reads."""
        return {"data_root": str(self.folder), "cohort_folder": "config/cohorts"}

    def errors(self) -> list[str]:
        """Return what the checks before any job say."""
        return errors(self.config, {"facility": self.settings()})

    def build(self) -> "Built":
        """Run build_cohort and make_splits and read what they wrote."""
        settings, out = self.settings(), self.folder / "out"
        assert not self.errors(), self.errors()
        build_cohort(files=table_files(self.config, settings), settings=settings, out=str(out))
        make_splits(
            patients=str(out / "patients.tsv"),
            published=published_files(self.config, settings),
            settings=settings,
            seed=17,
            splits_out=str(out / "splits.tsv"),
            folds_out=str(out / "folds.tsv"),
            audit_out=str(out / "splits_audit.json"),
        )
        return Built(out, settings["covariates"])


class Built:
    """A built cohort, read back through the readers that later stages use."""

    def __init__(self, folder: Path, covariates: Mapping[str, Any]):
        self.folder = folder
        self.patients = read_patients(folder / "patients.tsv", covariates)
        self.expression, self.scale = read_expression(folder / "expression.h5ad")
        self.cnv = read_features(folder / "cnv.parquet")
        self.mutations = read_features(folder / "mutations.parquet")
        self.slides = read_slides(folder / "slides.tsv")
        self.splits = read_splits(folder / "splits.tsv", self.patients.index)
        self.flow = read_flow(folder / "flow.tsv")
        self.audit = {finding["check"]: finding for finding in read_audit(folder / "audit.json")}

    def assert_same(self, other: "Built") -> None:
        """Assert that two cohorts hold the same patients and numbers."""
        pd.testing.assert_frame_equal(self.patients, other.patients, rtol=1e-4)
        for name in ("expression", "cnv", "mutations"):
            mine, theirs = getattr(self, name), getattr(other, name)
            pd.testing.assert_frame_equal(mine, theirs[mine.columns], rtol=1e-4, atol=1e-4)
            assert set(mine.columns) == set(theirs.columns)
        assert self.scale == other.scale
        pd.testing.assert_frame_equal(self.splits, other.splits)
