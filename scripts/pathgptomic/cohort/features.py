"""Expression, copy number or mutations in any dialect -> patients x genes, one row a patient, expression linear."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pathgptomic.cohort.headers import column_names, file_format
from pathgptomic.cohort.readers import Dialect, first_group, patient_ids, read_h5ad, read_matrix
from pathgptomic.cohort.source import Finding

logger = logging.getLogger(__name__)

NO_GENE = ("", "?", "nan", "NA")
# Linear expression (TPM, counts) reaches thousands, its log2 stays under 25 (33 million) and z-scores centre on zero.
LOG2_MAXIMUM = 25.0


def read_gene_table(path: str | Path, dialect: Dialect, name: str) -> tuple[pd.DataFrame, list[Finding]]:
    """Read one table of genes.

    Parameters
    ----------
    path
        csv, tsv, txt, parquet or h5ad.
    dialect
        The table's section of the cohort file; `scale` and `offset` where it is expression.
    name
        ``expression``, ``cnv`` or ``mutations``, for messages.

    Returns
    -------
    DataFrame [patients, genes]
        float32, index `patient_id`; log2 values have become linear.
    list of Finding
        Replicates and, for expression, the scale.

    Raises
    ------
    ValueError
        If a gene or a patient repeats and the dialect does not say what to do.
    """
    table = _patients_by_genes(path, dialect)
    if table.empty:
        raise ValueError(f"{path} has no rows or no columns left; check `only` and `columns` of {name}.")
    findings = []
    if "scale" in dialect:  # before anything is averaged, since a mean of logarithms is not the logarithm of the mean
        findings.append(check_scale(table, dialect["scale"], path))
        if dialect["scale"] == "log2":
            table = (np.exp2(table) - dialect["offset"]).clip(lower=0)
    order = np.argsort(np.asarray(table.index, dtype=str), kind="stable")  # `first` is the first id, not the first row
    table = table.iloc[order].set_axis(patient_ids(table.index[order], dialect["id"], path))
    table = _named_genes(table[table.index.notna()], dialect, path)
    table, finding = _one_row_a_patient(table, dialect["replicates"], name, path)
    empty = table.isna().all()
    if empty.any():
        logger.info("%s: %d genes have no value at all and are left out, such as %s", path, empty.sum(), empty.idxmax())
    return table.loc[:, ~empty].astype(np.float32), [*findings, finding]


def feature_columns(
    path: str | Path, names: tuple[str, ...], dialect: Dialect, spare: tuple[str, ...]
) -> dict[str, str]:
    """Return the columns of a table that are features, and their names without prefix and suffix.

    Parameters
    ----------
    path
        For the message.
    names
        All columns of the table.
    dialect
        Its `columns` (prefix, suffix, keep, drop) and `only`.
    spare
        Columns with another part to play.
    """
    rule = dialect["columns"]
    unknown = next((name for name in rule["keep"] if name not in names), None)
    if unknown is not None:
        raise ValueError(f"{path} has no column {unknown!r}, which `columns.keep` names.")
    others = {*spare, *rule["drop"], *dialect["only"]}
    chosen = [name for name in rule["keep"] or names if name not in others]
    chosen = [name for name in chosen if name.startswith(rule["prefix"]) and name.endswith(rule["suffix"])]
    if not chosen:
        raise ValueError(f"{path}: no column is left as a feature; check `columns` of this table.")
    return {name: name.removeprefix(rule["prefix"]).removesuffix(rule["suffix"]) for name in chosen}


def check_scale(table: pd.DataFrame, scale: str, path: str | Path) -> Finding:
    """Hold the stated scale of expression against its values.

    Linear values cannot be negative, z-scores must be, and log2 values stay under 25; linear values that never reach 25
    look like logarithms.
    """
    values = table.to_numpy(np.float64)
    low, high, negative = np.nanmin(values), np.nanmax(values), float(np.mean(values < 0))
    evidence = {"minimum": float(low), "maximum": float(high), "share negative": round(negative, 4)}
    said = f"{path}: expression is stated as {scale} and runs from {low:.4g} to {high:.4g}"
    if scale == "linear" and low < 0:
        return Finding("expression scale", "stop", f"{said}; negative values are z-scores or logarithms.", evidence)
    if scale == "zscore" and negative < 0.05:
        return Finding("expression scale", "stop", f"{said}; z-scores are negative for many patients.", evidence)
    if scale == "log2" and high > LOG2_MAXIMUM:
        return Finding("expression scale", "stop", f"{said}; values above {LOG2_MAXIMUM:g} are not log2.", evidence)
    if scale == "linear" and high < LOG2_MAXIMUM:
        return Finding("expression scale", "warn", f"{said}; so small a maximum looks like log2.", evidence)
    return Finding("expression scale", "pass", f"{said}.", evidence)


def _patients_by_genes(path: str | Path, dialect: Dialect) -> pd.DataFrame:
    """Read the table with the ids of the source as index and its names of genes as columns."""
    if file_format(path) == ".h5ad":
        table = read_h5ad(path, dialect).astype(np.float32)
        chosen = feature_columns(path, tuple(table.columns), dialect, ())
        return table.loc[:, table.columns.isin(list(chosen))].rename(columns=chosen)
    names = column_names(path, dialect["separator"], dialect["comment"])
    by_patient = dialect["orientation"] == "patients_by_genes"
    rows = dialect["patient"] if by_patient else (names[0] if dialect["gene"] is None else dialect["gene"])
    chosen = feature_columns(path, names, dialect, (rows,))
    table = read_matrix(path, dialect, rows, list(chosen)).rename(columns=chosen).astype(np.float32)
    return table if by_patient else table.T


def _named_genes(table: pd.DataFrame, dialect: Mapping[str, Any], path: str | Path) -> pd.DataFrame:
    """Turn names of genes into symbols; repeated symbols are joined by the stated rule, unnamed genes go."""
    genes = pd.Series(np.asarray(table.columns, dtype=object)).map(str, na_action="ignore")
    if dialect["gene_pattern"] is not None:
        genes = first_group(genes, dialect["gene_pattern"], path)
    named = (genes.notna() & ~genes.isin(NO_GENE)).to_numpy()
    if not named.all():
        logger.info("%s: %d genes have no name and are left out", path, (~named).sum())
        table, genes = table.iloc[:, named], genes[named]
    table = table.set_axis(pd.Index(genes), axis=1)
    repeated = table.columns.duplicated()
    if not repeated.any():
        return table
    if dialect["repeated_genes"] == "error":
        raise ValueError(
            f"{path}: gene {table.columns[repeated][0]} appears several times, as do {repeated.sum() - 1} others; "
            "set `repeated_genes` to first or mean."
        )
    logger.info("%s: %d repeated genes joined by %s", path, repeated.sum(), dialect["repeated_genes"])
    if dialect["repeated_genes"] == "first":
        return table.loc[:, ~repeated]
    return table.T.groupby(level=0, sort=False).mean().T


def _one_row_a_patient(
    table: pd.DataFrame, replicates: str, name: str, path: str | Path
) -> tuple[pd.DataFrame, Finding]:
    """Join the rows of a patient (several samples, or one row a slide)."""
    check = f"replicates: {name}"
    again = table.index.duplicated()
    if not again.any():
        return table, Finding(check, "pass", f"Every patient has one row in {path}.")
    repeated = table.index[again].unique()
    evidence = {"patients": len(repeated), "rule": replicates, "examples": list(repeated[:5])}
    if replicates == "identical":
        rows = table[table.index.isin(repeated)]
        first = table[~again].loc[rows.index]
        equal = ((rows.to_numpy() == first.to_numpy()) | (rows.isna().to_numpy() & first.isna().to_numpy())).all(axis=1)
        if not equal.all():
            patient = rows.index[~equal][0]
            raise ValueError(f"{path}: the rows of patient {patient} differ; set `replicates` to first or mean.")
    joined = table.groupby(level=0).mean() if replicates == "mean" else table[~again]
    return joined, Finding(
        check, "pass", f"{len(repeated)} patients have several rows, joined by: {replicates}.", evidence
    )
