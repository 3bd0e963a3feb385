"""The patients in one table, as clinical papers show them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from sksurv.nonparametric import kaplan_meier_estimator

from pathgptomic.report.grids import Cell, Column, Grid, Row, words
from pathgptomic.report.wording import DASH, DAYS_PER_YEAR, number, percent

MOST_LEVELS = 8  # of a nominal covariate that get a row of their own


def patients_grid(patients: pd.DataFrame, covariates: Mapping[str, Any]) -> Grid:
    """Return the table of characteristics: all patients, those who died, those alive at last contact.

    Parameters
    ----------
    patients
        As `read_patients` returns them.
    covariates
        Kind of each covariate, as in the cohort file.
    """
    groups = {
        "All": patients,
        "Died": patients[patients["event"]],
        "Alive at last contact": patients[~patients["event"]],
    }
    rows = [
        _row("Patients", [f"{len(group):,}" for group in groups.values()]),
        _row("Follow-up, years: median (quartiles)", [follow_up(groups["All"]), DASH, DASH]),
        _row(
            "Time to death or last contact, years",
            [_quartiles(g["time_days"] / DAYS_PER_YEAR) for g in groups.values()],
        ),
    ]
    for name, kind in covariates.items():
        if name in patients:
            rows += _covariate(name, kind, list(groups.values()))
    if (patients["site"] != "").any():
        rows.append(_row("Sites", [str(group["site"].nunique()) for group in groups.values()]))
    columns = [Column("", numeric=False), *(Column(title) for title in groups)]
    note = (
        "Numbers and per cent of those with a known value, or median (quartiles). Follow-up of all patients by the "
        "reverse Kaplan-Meier estimate."
    )
    return Grid("Characteristics of the patients", columns, rows, note)


def follow_up(patients: pd.DataFrame) -> str:
    """Return the median follow-up in years and its quartiles by the reverse Kaplan-Meier estimate.

    References
    ----------
    Schemper and Smith, A note on quantifying follow-up in studies of failure time (1996), Control Clin Trials 17:343.
    """
    if patients["event"].all():
        return DASH
    days, followed = kaplan_meier_estimator(~patients["event"].to_numpy(), patients["time_days"].to_numpy())
    years = [_first(days[followed <= 1 - share]) for share in (0.5, 0.25, 0.75)]
    return f"{years[0]} ({years[1]} to {years[2]})"


def _first(days: np.ndarray) -> str:
    return number(days[0] / DAYS_PER_YEAR, 1) if len(days) else "not reached"


def _covariate(name: str, kind: Any, groups: list[pd.DataFrame]) -> list[Row]:
    label = name.replace("_", " ")
    unknown = [int(group[name].isna().sum()) for group in groups]
    if kind == "numeric":
        rows = [_row(f"{label}: median (quartiles)", [_quartiles(group[name]) for group in groups])]
    else:
        levels = _levels(groups[0][name], kind)
        rows = [_row(f"{label}: {level}", [_share(group[name], level) for group in groups]) for level in levels]
    if unknown[0]:
        rows.append(_row(f"{label}: not known", [f"{amount:,}" for amount in unknown]))
    return rows


def _levels(values: pd.Series, kind: Any) -> list[str]:
    if isinstance(kind, Mapping):
        return [str(level) for level in kind["ordinal"] if (values == str(level)).any()]
    return list(values.value_counts().index[:MOST_LEVELS])


def _share(values: pd.Series, level: str) -> str:
    known = values.dropna()
    amount = int((known == level).sum())
    return f"{amount:,} ({percent(amount / len(known) if len(known) else None)})"


def _quartiles(values: pd.Series) -> str:
    values = values.dropna()
    if values.empty:
        return DASH
    low, middle, high = values.quantile([0.25, 0.5, 0.75])
    digits = 1 if high < 20 else 0
    return f"{number(middle, digits)} ({number(low, digits)} to {number(high, digits)})"


def _row(label: str, cells: list[str]) -> Row:
    return Row([words(label), *(Cell(cell) for cell in cells)])
