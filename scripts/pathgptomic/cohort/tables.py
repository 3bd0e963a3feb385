"""The cohort's tables: what later stages read and write, each with the checks that its reader may rely on.

They are the whole interface between this stage and the others: a user may replace any of them by a file of their own.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pathgptomic.cohort.ids import check_ids
from pathgptomic.files import atomic

MODALITIES = ("clinical", "expression", "cnv", "mutations", "slides")
HAS = tuple(f"has_{modality}" for modality in MODALITIES)
OUTCOME = ("time_days", "event")
PLACE = ("site", "stratum")
FIXED = ("patient_id", *OUTCOME, *PLACE, *HAS)
ROLES = ("train", "test")
SCALES = ("linear", "zscore")
SPLIT_COLUMNS = ("fold", "patient_id", "role", "inner")
SLIDE_COLUMNS = ("patient_id", "slide_id", "path")
FLOW_COLUMNS = ("step", "reason", "dropped", "remaining", "events", "examples")
STATUSES = ("pass", "warn", "stop")
BOOLEANS = {"True": True, "False": False}

Covariates = Mapping[str, str | Mapping[str, Sequence[str]]]


def read_patients(path: str | Path, covariates: Covariates | None = None) -> pd.DataFrame:
    """Read `patients.tsv`.

    Parameters
    ----------
    path
        The table.
    covariates
        Kind of each covariate, as in the cohort file; those that are ``numeric`` come back as float64. Covariates of
        other kinds, and all of them where this is not given, are text with NaN for a missing value.

    Returns
    -------
    DataFrame [patients, ...], index `patient_id` in ascending order
        `time_days` float64 > 0, `event` bool (True = death observed), `site` and `stratum` text (may be empty), the
        covariates, and `has_<modality>` bool.

    Raises
    ------
    ValueError
        If a column is missing, a patient is listed twice, a time is not positive or a flag is neither True nor False.
    """
    patients = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False).set_index("patient_id", drop=False)
    _need(patients, FIXED, path)
    patients = patients.drop(columns="patient_id")
    patients["time_days"] = _numbers(patients["time_days"], "time_days", path)
    for column in ("event", *HAS):
        patients[column] = _flags(patients[column], column, path)
    for name in patients.columns.difference(FIXED):
        patients[name] = patients[name].where(patients[name] != "", np.nan)
        if covariates is not None and covariates.get(name) == "numeric":
            patients[name] = _numbers(patients[name], name, path)
    _check_patients(patients, path)
    return patients.sort_index()


def write_patients(path: str | Path, patients: pd.DataFrame) -> None:
    """Write `patients.tsv`: `patients` as `read_patients` returns it, in any order of rows."""
    _need(patients, FIXED[1:], path)
    _check_patients(patients, path)
    others = [name for name in patients.columns if name not in FIXED]
    table = patients.sort_index()[[*OUTCOME, *PLACE, *others, *HAS]]
    _write(path, table.rename_axis("patient_id").reset_index())


def read_splits(path: str | Path, patients: Sequence[str] | None = None) -> pd.DataFrame:
    """Read `splits.tsv`: who trains and who tests in which fold, and the inner validation part of training patients.

    Parameters
    ----------
    path
        The table.
    patients
        Ids of the cohort; where they are given, an id outside them is an error.

    Returns
    -------
    DataFrame [rows, 4], sorted by fold and patient
        `fold` int from 1, `patient_id` text, `role` ``train`` or ``test``, `inner` int: from 1 for training patients,
        0 for test patients (an empty cell in the file).

    Raises
    ------
    ValueError
        If a patient has two roles in a fold, a fold lacks a role, or a training patient has no inner part.
    """
    splits = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    _need(splits, SPLIT_COLUMNS, path)
    splits = splits[list(SPLIT_COLUMNS)].copy()
    splits["inner"] = splits["inner"].replace("", "0")
    for column in ("fold", "inner"):
        splits[column] = _numbers(splits[column], column, path).astype(np.int64)
    check_splits(splits, path, patients)
    return splits.sort_values(["fold", "patient_id"], ignore_index=True)


def write_splits(path: str | Path, splits: pd.DataFrame) -> None:
    """Write `splits.tsv`: `splits` as `read_splits` returns it, in any order of rows."""
    check_splits(splits, path)
    table = splits[list(SPLIT_COLUMNS)].sort_values(["fold", "patient_id"])
    _write(path, table.assign(inner=table["inner"].astype(str).where(table["inner"] > 0, "")))


def check_splits(splits: pd.DataFrame, path: str | Path, patients: Sequence[str] | None = None) -> None:
    """Raise a sentence naming `path` if `splits` cannot be used (see `read_splits`)."""
    if splits.empty:
        raise ValueError(f"{path} has no rows: a model cannot be tested without a fold.")
    for role in set(splits["role"]) - set(ROLES):
        raise ValueError(f"{path} has the role {role!r}; a role is train or test.")
    twice = splits.duplicated(["fold", "patient_id"])
    if twice.any():
        fold, patient = splits.loc[twice, ["fold", "patient_id"]].iloc[0]
        raise ValueError(f"{path} lists patient {patient} twice in fold {fold}; a patient has one role in a fold.")
    for fold, roles in splits.groupby("fold")["role"]:
        if fold < 1 or set(roles) != set(ROLES):
            raise ValueError(f"{path}: fold {fold} needs training and test patients, and folds count from 1.")
    for fold, patient in splits.loc[
        (splits["inner"] > 0) != (splits["role"] == "train"), ["fold", "patient_id"]
    ].values:
        raise ValueError(
            f"{path}: patient {patient} in fold {fold} breaks the rule that training patients, and they alone, have an "
            "inner part from 1."
        )
    if patients is not None:
        unknown = sorted(set(splits["patient_id"]) - set(patients))
        if unknown:
            raise ValueError(f"{path} names {len(unknown)} patients outside the cohort, such as {unknown[0]}.")


def read_features(path: str | Path) -> pd.DataFrame:
    """Read a feature table in parquet: patients x features, float32, index `patient_id`, NaN for a missing value."""
    return check_features(pd.read_parquet(path), path).astype(np.float32)


def write_features(path: str | Path, features: pd.DataFrame) -> None:
    """Write a feature table in parquet; a modality that the cohort lacks is a table without rows and columns."""
    features = check_features(features.rename_axis("patient_id"), path).astype(np.float32)
    with atomic(path) as temporary:
        features.rename(columns=str).sort_index().to_parquet(temporary)


def no_features() -> pd.DataFrame:
    """Return the feature table of a modality that the cohort lacks."""
    return pd.DataFrame(index=pd.Index([], name="patient_id", dtype=object), dtype=np.float32)


def check_features(features: pd.DataFrame, path: str | Path) -> pd.DataFrame:
    """Return `features` if its index, names and values are usable, else raise a sentence naming `path`."""
    if features.index.name != "patient_id":
        raise ValueError(f"{path} has the index {features.index.name!r}; patients are its rows, indexed by patient_id.")
    for axis, names in (("patient", features.index), ("feature", features.columns)):
        if not names.is_unique:
            raise ValueError(f"{path} has the {axis} {names[names.duplicated()][0]} twice; each may appear once.")
    for name, dtype in features.dtypes.items():
        if not (pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype)):
            raise ValueError(f"{path}: feature {name} holds {dtype}; features are numbers.")
    if features.size and np.isinf(features.to_numpy(np.float64)).any():
        raise ValueError(f"{path} holds infinite values; write a missing value as an empty cell.")
    return features


def read_expression(path: str | Path) -> tuple[pd.DataFrame, str]:
    """Read `expression.h5ad`: patients x gene symbols (float32) and its scale, ``linear`` or ``zscore``."""
    import anndata

    data = anndata.read_h5ad(path)
    scale = data.uns.get("scale")
    if scale not in SCALES:
        raise ValueError(f"{path} has uns['scale'] = {scale!r}; it must be linear or zscore.")
    features = data.to_df().astype(np.float32).rename_axis(index="patient_id", columns=None)
    return check_features(features, path), scale


def write_expression(
    path: str | Path,
    expression: pd.DataFrame,
    scale: str,
    layers: Mapping[str, pd.DataFrame] | None = None,
    genes: pd.DataFrame | None = None,
) -> None:
    """Write `expression.h5ad`.

    Parameters
    ----------
    path
        The file.
    expression
        Patients x genes, index `patient_id`, columns gene symbols.
    scale
        ``linear`` (TPM or the like, never negative) or ``zscore``.
    layers
        Further tables of the same shape, such as raw ``counts``.
    genes
        What else is known of the genes, index symbols: ``ensembl_id``, say.
    """
    import anndata

    expression = check_features(expression.rename_axis("patient_id"), path).sort_index()
    if scale not in SCALES:
        raise ValueError(f"{path}: scale {scale!r} is unknown; expression is stored as linear or zscore.")
    if scale == "linear" and expression.size and expression.min(axis=None) < 0:
        raise ValueError(f"{path}: linear expression has the value {expression.min(axis=None)}; it cannot be negative.")
    data = anndata.AnnData(
        np.ascontiguousarray(expression.to_numpy(np.float32)),
        obs=pd.DataFrame(index=expression.index.astype(str)),
        var=pd.DataFrame(index=expression.columns.astype(str).rename("symbol")),
        uns={"scale": scale},
    )
    for name, layer in (layers or {}).items():
        data.layers[name] = layer.loc[expression.index, expression.columns].to_numpy(np.float32)
    for name, column in (genes.loc[expression.columns] if genes is not None else pd.DataFrame()).items():
        data.var[name] = column.to_numpy()
    with atomic(path) as temporary:
        data.write_h5ad(temporary)


def read_slides(path: str | Path) -> pd.DataFrame:
    """Read `slides.tsv`: `patient_id`, `slide_id` (unique), `path` of the slide or of its features (may be empty)."""
    slides = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    _need(slides, SLIDE_COLUMNS, path)
    twice = slides["slide_id"].duplicated()
    if twice.any():
        raise ValueError(f"{path} lists slide {slides.loc[twice, 'slide_id'].iloc[0]} twice; a slide has one row.")
    _check_slides(slides, path)
    return slides[list(SLIDE_COLUMNS)]


def write_slides(path: str | Path, slides: pd.DataFrame) -> None:
    """Write `slides.tsv`."""
    _need(slides, SLIDE_COLUMNS, path)
    _check_slides(slides, path)
    _write(path, slides[list(SLIDE_COLUMNS)].sort_values(["patient_id", "slide_id"]))


def no_slides() -> pd.DataFrame:
    """Return the slide table of a cohort without slides."""
    return pd.DataFrame(columns=list(SLIDE_COLUMNS), dtype=object)


def read_flow(path: str | Path) -> pd.DataFrame:
    """Read `flow.tsv`: for each step and reason, patients dropped and remaining, deaths remaining, example ids."""
    flow = pd.read_csv(path, sep="\t", keep_default_na=False)
    _need(flow, FLOW_COLUMNS, path)
    return flow


def write_flow(path: str | Path, flow: pd.DataFrame) -> None:
    """Write `flow.tsv`."""
    _write(path, flow[list(FLOW_COLUMNS)])


def read_audit(path: str | Path) -> list[dict[str, Any]]:
    """Read `audit.json`: a list of {check, status: pass | warn | stop, detail: a sentence, evidence: numbers}."""
    findings = json.loads(Path(path).read_text(encoding="utf-8"))
    for finding in findings:
        if finding["status"] not in STATUSES:
            raise ValueError(f"{path}: check {finding['check']} has the status {finding['status']!r}.")
    return findings


def write_audit(path: str | Path, findings: Sequence[Mapping[str, Any]]) -> None:
    """Write `audit.json`."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(list(findings), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _check_patients(patients: pd.DataFrame, path: str | Path) -> None:
    check_ids(patients.index, "patient", path)
    twice = patients.index.duplicated()
    if twice.any():
        raise ValueError(f"{path} lists patient {patients.index[twice][0]} twice; a patient has one row.")
    wrong = ~(np.isfinite(patients["time_days"]) & (patients["time_days"] > 0))
    if wrong.any():
        first = patients.loc[wrong, "time_days"].index[0]
        raise ValueError(
            f"{path}: patient {first} has time_days {patients.loc[first, 'time_days']}; it must be above 0."
        )


def _check_slides(slides: pd.DataFrame, path: str | Path) -> None:
    for kind in ("patient", "slide"):
        check_ids(slides[f"{kind}_id"], kind, path)


def _need(table: pd.DataFrame, columns: Sequence[str], path: str | Path) -> None:
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise ValueError(
            f"{path} has no column {missing[0]!r}; its columns are {', '.join(map(str, table.columns[:20]))}."
        )


def _numbers(values: pd.Series, column: str, path: str | Path) -> pd.Series:
    numbers = pd.to_numeric(values, errors="coerce").astype(np.float64)
    wrong = numbers.isna() & values.notna()
    if wrong.any():
        raise ValueError(f"{path}: column {column} holds {values[wrong].iloc[0]!r}, which is not a number.")
    return numbers


def _flags(values: pd.Series, column: str, path: str | Path) -> pd.Series:
    for value in set(values) - set(BOOLEANS):
        raise ValueError(f"{path}: column {column} holds {value!r}; it must be True or False.")
    return values.map(BOOLEANS).astype(bool)


def _write(path: str | Path, table: pd.DataFrame) -> None:
    with atomic(path) as temporary:
        table.to_csv(temporary, sep="\t", index=False, lineterminator="\n")
