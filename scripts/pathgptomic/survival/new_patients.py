"""Tables of new patients, held against what a model was trained on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from pathgptomic.cohort.bags import Bags
from pathgptomic.cohort.tables import check_features, read_expression
from pathgptomic.survival.bundle import Bundle
from pathgptomic.survival.inputs import CohortInputs
from pathgptomic.survival.pictures import Regions
from pathgptomic.survival.stack import encoder_present

logger = logging.getLogger(__name__)

EXAMPLES = 3


def read_new_patients(bundle: Bundle, tables: Mapping[str, str]) -> CohortInputs:
    """Read the tables of new patients and hold them against the bundle; patients are those of any table."""
    wanted = bundle.settings.modalities
    for name in wanted:
        if name not in tables:
            raise ValueError(f"the model was trained with {name}, for which no table is given: name its file")
    for name in tables:
        if name not in wanted:
            logger.warning("the model does not use %s: %s is not read", name, tables[name])
    others = [name for name in wanted if name not in ("clinical", "slides", "rois")]
    features = {name: read_like_training(bundle, name, tables[name]) for name in others}
    who = {name: table.index for name, table in features.items()}
    clinical, bags, rois = pd.DataFrame(index=pd.Index([], dtype=object)), None, None
    if "clinical" in wanted:
        clinical = read_covariates(bundle, tables["clinical"])
        who["clinical"] = clinical.index
    if "slides" in wanted:
        bags = read_bags(bundle, tables["slides"])
        who["slides"] = pd.Index(bags.index["patient_id"].unique())
    if "rois" in wanted:
        rois = Regions.load(tables["rois"])
        who["rois"] = pd.Index(list(rois.of_patient))
    ids = pd.Index(sorted(set().union(*who.values())), name="patient_id")
    patients = clinical.reindex(ids)
    for name, each in who.items():
        patients[f"has_{name}"] = ids.isin(each)
    aligned = {name: each.reindex(ids).astype(np.float32) for name, each in features.items()}
    inputs = CohortInputs(patients, bundle.covariates, aligned, bundle.linear, bags, (), rois)
    refuse_lacking(bundle, inputs)
    return inputs


def read_like_training(bundle: Bundle, name: str, path: str) -> pd.DataFrame:
    """Read a feature table and return the training features, in the training order."""
    table, scale = read_table(path)
    trained = "linear" if name in bundle.linear else "zscore"
    if name == "expression" and scale is not None and scale != trained:
        raise ValueError(f"{path} is on the scale {scale}, the model was trained on {trained}: convert the expression")
    if name == "expression" and trained == "linear" and table.size and np.nanmin(table.to_numpy()) < 0:
        raise ValueError(f"{path} has negative values, the model was trained on linear expression: convert it")
    features = bundle.features[name]
    missing = [each for each in features if each not in table.columns]
    if missing:
        raise ValueError(
            f"{path} lacks {len(missing)} of the {len(features)} features that the model was trained with, such as "
            f"{', '.join(missing[:EXAMPLES])}: give the same features under the same names"
        )
    return table[list(features)]


def read_table(path: str) -> tuple[pd.DataFrame, str | None]:
    """Read patients x features and, from an h5ad file, the scale of expression."""
    if path.endswith(".h5ad"):
        return read_expression(path)
    if path.endswith(".parquet"):
        return check_features(pd.read_parquet(path), path), None
    table = read_text(path).set_index("patient_id")
    numbers = table.apply(pd.to_numeric, errors="coerce")
    broken = numbers.isna() & table.notna()
    if broken.any(axis=None):
        column = broken.any().idxmax()
        value = table.loc[broken[column], column].iloc[0]
        raise ValueError(f"{path}: column {column} holds {value!r}, which is no number: correct it or leave it empty")
    return check_features(numbers, path), None


def read_text(path: str) -> pd.DataFrame:
    """Read a csv or tsv file (also .gz) as text, with NaN for empty cells; it has a column patient_id."""
    separator = "," if path.removesuffix(".gz").endswith(".csv") else "\t"
    table = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False)
    if "patient_id" not in table:
        raise ValueError(f"{path} has no column 'patient_id': name the column of the patients so")
    if table["patient_id"].duplicated().any():
        twice = table.loc[table["patient_id"].duplicated(), "patient_id"].iloc[0]
        raise ValueError(f"{path} lists patient {twice} twice: keep one row a patient")
    return table.where(table != "")


def read_covariates(bundle: Bundle, path: str) -> pd.DataFrame:
    """Read the covariates of new patients; numeric ones become numbers where they are encoded."""
    table = read_text(path).set_index("patient_id")
    missing = [name for name in bundle.covariates if name not in table]
    if missing:
        raise ValueError(
            f"{path} lacks the covariate {missing[0]!r} that the model was trained with: add the column (empty cells "
            "are allowed)"
        )
    return table[list(bundle.covariates)]


def read_bags(bundle: Bundle, path: str) -> Bags:
    """Open the packed image features of new patients."""
    bags = Bags.load(Path(path).parent)
    given, trained = tuple(bags.features), bundle.features["slides"]
    if given != trained:
        raise ValueError(
            f"{path} holds {len(given)} features ({', '.join(given[:EXAMPLES])}), the model was trained with "
            f"{len(trained)} ({', '.join(trained[:EXAMPLES])}): encode the slides with the encoder of training"
        )
    return bags


def refuse_lacking(bundle: Bundle, inputs: CohortInputs) -> None:
    """Raise if a patient lacks what the model has no stand-in for."""
    for encoder, names in bundle.settings.encoders.items():
        gaps = ~encoder_present(inputs, names)
        if gaps.any() and encoder not in bundle.shape.nullable:
            first = inputs.patients.index[gaps][0]
            raise ValueError(
                f"{gaps.sum()} patients, such as {first}, have no {' or '.join(names)}, which every training patient "
                "had: leave them out, or train the model on a cohort with `missing: mask`"
            )
