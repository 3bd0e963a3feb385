"""A clinical table in any dialect -> one row a patient: time in days, event as True or False, covariates as text."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pathgptomic.cohort.readers import Dialect, as_text, patient_ids, plain, read_text
from pathgptomic.cohort.source import Finding

DAYS = {"days": 1.0, "weeks": 7.0, "months": 365.25 / 12, "years": 365.25}


def read_clinical(path: str | Path, cohort: Mapping[str, Any]) -> tuple[pd.DataFrame, list[Finding]]:
    """Read the clinical table of a cohort.

    Parameters
    ----------
    path
        The table.
    cohort
        The cohort file: `tables.clinical`, `covariates`, `site`, `stratum`.

    Returns
    -------
    DataFrame [patients, ...]
        As `Source.clinical` describes.
    list of Finding
        Repeated patients.

    Raises
    ------
    ValueError
        If a value cannot be understood: a time that is no number, an event code that is neither stated nor implied.
    """
    dialect = cohort["tables"]["clinical"]
    time_columns = (
        [dialect["time"]["column"]] if isinstance(dialect["time"]["column"], str) else dialect["time"]["column"]
    )
    named = {name: dialect["columns"].get(name, name) for name in covariate_names(cohort)}
    witness = dialect["vital_status"]
    columns = [dialect["patient"], *time_columns, dialect["event"]["column"], *named.values()]
    table = read_text(path, dialect, columns + ([witness["column"]] if witness else []))
    if table.empty:
        raise ValueError(f"{path} has no rows left; check `only`.")

    clinical = pd.DataFrame(
        {
            "time_days": _time_days(table, time_columns, dialect, path),
            "event": event_flags(table[dialect["event"]["column"]], dialect["event"], path),
        }
    )
    for name, column in named.items():
        numeric = cohort["covariates"].get(name) == "numeric"
        values = table[column].str.replace(dialect["decimal"], ".", regex=False) if numeric else table[column]
        clinical[name] = _recode(values, dialect["values"].get(name, {}))
    if "age" in clinical:
        clinical["age"] = _age_in_years(clinical["age"], dialect, path)
    if witness:
        dead = table[witness["column"]].map(plain, na_action="ignore")
        clinical["dead"] = dead.isin([plain(word) for word in witness["dead"]]).astype("boolean").mask(dead.isna())
    clinical.index = patient_ids(table[dialect["patient"]], dialect["id"], path)
    clinical, findings = one_row_a_patient(clinical, dialect["replicates"], path)
    return _with_places(clinical, cohort), findings


def covariate_names(cohort: Mapping[str, Any]) -> list[str]:
    """Return our names of the columns of the clinical table besides outcome and patient."""
    return list(dict.fromkeys([*cohort["covariates"], *filter(None, [cohort["site"]["column"], cohort["stratum"]])]))


def event_flags(values: pd.Series, code: Mapping[str, Any], path: str | Path) -> pd.Series:
    """Return True where the death was observed, by the values that say so or the values that say the contrary.

    Parameters
    ----------
    values
        The column as text.
    code
        `column`, `observed`, `not_observed`. One of the lists is enough where the column holds two values.

    Raises
    ------
    ValueError
        If a value is in neither list and cannot be told by elimination, or in both.
    """
    values = values.map(plain, na_action="ignore")
    observed, alive = ({plain(word) for word in code[key]} for key in ("observed", "not_observed"))
    found = set(values.dropna())
    rest = found - observed - alive
    where = f"{path}: the event column {code['column']!r}"
    if observed & alive:
        raise ValueError(f"{where} has {min(observed & alive)!r} as observed and as not observed; keep one.")
    if not found & (observed | alive):
        listed = ", ".join(map(repr, sorted(found)[:6]))
        raise ValueError(f"{where} holds {listed}, none of which is named in `observed` or `not_observed`.")
    if rest and (len(found) > 2 or (observed and alive)):
        raise ValueError(
            f"{where} also holds {', '.join(map(repr, sorted(rest)[:6]))}; "
            "list it under `observed`, `not_observed`, or `missing`."
        )
    flags = values.isin(observed) if observed else ~values.isin(alive)
    return flags.astype("boolean").mask(values.isna())


def one_row_a_patient(clinical: pd.DataFrame, replicates: str, path: str | Path) -> tuple[pd.DataFrame, list[Finding]]:
    """Join the rows of a patient: they must agree (``identical``), or the first row of the file counts (``first``)."""
    if clinical.index.isna().any():
        clinical = clinical[clinical.index.notna()]
    rows = clinical.groupby(level=0).size()
    repeated = rows.index[rows > 1]
    if repeated.empty:
        return clinical, [Finding("duplicate patients", "pass", "Every patient has one row in the clinical table.")]
    distinct = clinical.loc[clinical.index.isin(repeated)].groupby(level=0).nunique(dropna=False)
    differing = distinct.index[(distinct > 1).any(axis=1)]
    evidence = {"patients": len(repeated), "differing": len(differing), "examples": list(differing[:5])}
    first = clinical[~clinical.index.duplicated()]
    if differing.empty:
        detail = f"{len(repeated)} patients have several rows, which agree in every column used here."
        return first, [Finding("duplicate patients", "pass", detail, evidence)]
    column = distinct.columns[(distinct.loc[differing[0]] > 1)][0]
    values = " and ".join(map(repr, clinical.loc[differing[0], column].map(str).unique()[:2]))
    detail = (
        f"{path}: {len(differing)} patients have rows that differ, such as {differing[0]} with {values} for {column}"
    )
    if replicates == "first":
        return first, [Finding("duplicate patients", "warn", f"{detail}; the first row counts.", evidence)]
    detail += "; correct them, or set `replicates: first`."
    return first, [Finding("duplicate patients", "stop", detail, evidence)]


def _time_days(table: pd.DataFrame, columns: Sequence[str], dialect: Dialect, path: str | Path) -> pd.Series:
    """Return the first known of `columns` in days."""
    text = table[columns[0]]
    for column in columns[1:]:
        text = text.fillna(table[column])
    return _numbers(text, dialect, path) * DAYS[dialect["time"]["unit"]]


def _age_in_years(age: pd.Series, dialect: Dialect, path: str | Path) -> pd.Series:
    """Return the age as text in years, as it stands if that is its unit."""
    unit = dialect["age_unit"]
    return age if unit == "years" else as_text((_numbers(age, dialect, path) * DAYS[unit] / DAYS["years"]).round(2))


def _numbers(text: pd.Series, dialect: Dialect, path: str | Path) -> pd.Series:
    numbers = pd.to_numeric(text.str.replace(dialect["decimal"], ".", regex=False), errors="coerce").astype(float)
    wrong = numbers.isna() & text.notna()
    if wrong.any():
        raise ValueError(
            f"{path}: column {text.name!r} holds {text[wrong].iloc[0]!r}, which is no number; "
            "add it to `missing` if it stands for one."
        )
    return numbers


def _recode(values: pd.Series, words: Mapping[str, str]) -> pd.Series:
    """Rewrite the values named in `words`; whole numbers lose their decimal point first."""
    values = values.map(plain, na_action="ignore")
    return values.replace({plain(old): new for old, new in words.items()}) if words else values


def _with_places(clinical: pd.DataFrame, cohort: Mapping[str, Any]) -> pd.DataFrame:
    """Add `site` and `stratum`; a column that only served them goes."""
    site, stratum = cohort["site"], cohort["stratum"]
    if site["barcode"] is not None:
        first, last = site["barcode"]
        place = pd.Series(clinical.index.str.slice(first - 1, last), index=clinical.index)
    else:
        place = clinical[site["column"]] if site["column"] else pd.Series("", index=clinical.index)
    layer = clinical[stratum] if stratum else pd.Series("", index=clinical.index)
    spare = [name for name in clinical if name in (site["column"], stratum) and name not in cohort["covariates"]]
    clinical = clinical.drop(columns=spare)
    return clinical.assign(site=place.fillna(""), stratum=layer.fillna("")).replace({None: np.nan})
