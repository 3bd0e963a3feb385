"""A small cohort with a planted hazard, as the files that the survival stage reads."""

from pathlib import Path

import numpy as np
import pandas as pd

from pathgptomic.cohort import tables
from pathgptomic.cohort.bags import write_bags

COVARIATES = {"age": "numeric", "sex": "nominal", "grade": {"ordinal": ["G2", "G3", "G4"]}}
MODALITIES = ("clinical", "expression", "cnv", "mutations", "slides")
OMICS = ("expression", "cnv", "mutations")


def make_cohort(
    folder: Path,
    *,
    patients: int = 90,
    folds: int = 3,
    inner: int = 3,
    seed: int = 1,
    lacking: dict[str, float] | None = None,
    per_fold_bags: bool = False,
    shuffled: bool = False,
    planted: tuple[str, ...] = MODALITIES,
) -> dict[str, str]:
    """Write a cohort and return its paths as `read_inputs` wants them.

    The log-hazard is the sum of age, a gene, a copy number, a mutation and the mean of an instance feature, each with
    standard deviation 1, as far as its modality is `planted`.
    `lacking` is the share of patients without a modality; `shuffled` deals the outcomes out at random.
    """
    rng = np.random.default_rng(seed)
    ids = pd.Index([f"P{i:04d}" for i in range(patients)], name="patient_id")
    expression = pd.DataFrame(rng.normal(size=(patients, 10)).astype(np.float32), ids).rename(columns="gene{}".format)
    cnv = pd.DataFrame(rng.integers(-2, 3, (patients, 4)).astype(np.float32), ids).rename(columns="arm{}".format)
    mutations = pd.DataFrame((rng.random((patients, 4)) < 0.3).astype(np.float32), ids).rename(columns="mut{}".format)
    age, slide = rng.normal(60, 10, patients), rng.normal(size=patients)
    sources = ((age - 60) / 10, expression["gene0"], cnv["arm0"] / 1.4, mutations["mut0"] / 0.46, slide)
    risk = sum(np.asarray(each) for name, each in zip(MODALITIES, sources, strict=True) if name in planted)
    table = pd.DataFrame(
        {"sex": rng.choice(["female", "male"], patients), "grade": rng.choice(["G2", "G3", "G4"], patients)}, ids
    ).assign(age=age.round(1), site=rng.choice(["A", "B"], patients), stratum="")
    death = rng.exponential(1000 * np.exp(-risk)) + 1
    last = rng.uniform(300, 4000, patients)
    table["time_days"], table["event"] = np.minimum(death, last).round(), death <= last
    if shuffled:
        table[["time_days", "event"]] = table[["time_days", "event"]].to_numpy()[rng.permutation(patients)]
        table = table.astype({"time_days": float, "event": bool})
    gone = {name: rng.random(patients) < share for name, share in (lacking or {}).items()}
    for name in MODALITIES:
        table[f"has_{name}"] = ~gone.get(name, np.zeros(patients, bool))
    tables.write_patients(folder / "patients.tsv", table)
    for name, features in (("cnv", cnv), ("mutations", mutations)):
        tables.write_features(folder / f"{name}.parquet", features[table[f"has_{name}"]])
    tables.write_expression(folder / "expression.h5ad", expression[table["has_expression"]], "zscore")
    tables.write_splits(folder / "splits.tsv", make_splits(ids, folds, inner, rng))
    write_slides(folder, table, slide, range(1, folds + 1) if per_fold_bags else [0], rng)
    files = {"expression": "expression.h5ad", "cnv": "cnv.parquet", "mutations": "mutations.parquet"}
    files |= {"patients": "patients.tsv", "splits": "splits.tsv", "slides": "bags.npy"}
    return {name: str(folder / file) for name, file in files.items()}


def make_splits(ids: pd.Index, folds: int, inner: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return a k-fold partition (of three parts at least), with inner parts."""
    part = rng.permutation(len(ids)) % max(folds, 3)
    rows = []
    for fold in range(1, folds + 1):
        of_train = rng.permutation(len(ids)) % inner + 1
        for i, patient in enumerate(ids):
            test = part[i] == fold - 1
            rows.append((fold, patient, "test" if test else "train", 0 if test else of_train[i]))
    return pd.DataFrame(rows, columns=["fold", "patient_id", "role", "inner"])


def write_slides(folder: Path, table: pd.DataFrame, signal: np.ndarray, folds, rng: np.random.Generator) -> None:
    """Write bags of one to six instances with three features, the first of which carries the signal."""
    bags = []
    for fold in folds:
        for patient, value in zip(table.index, signal, strict=True):
            if table.loc[patient, "has_slides"]:
                instances = rng.normal(size=(rng.integers(1, 7), 3))
                instances[:, 0] += value - instances[:, 0].mean()
                bags.append((fold, patient, instances))
    write_bags(folder, bags, features=["f0", "f1", "f2"], source="synthetic", in_sample_train=False)


def only(paths: dict[str, str], modalities) -> dict[str, str]:
    """Return the paths that a model with these modalities reads."""
    return {name: paths[name] for name in ("patients", "splits", *modalities) if name in paths}
