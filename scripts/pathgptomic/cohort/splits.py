"""Who trains and who tests in each fold, and the inner validation parts of training patients, by patient and seeded.

Every function works on arrays with one entry a patient, so a patient cannot be in two parts of a fold.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pathgptomic.cohort.sites import partition_sites
from pathgptomic.seeds import rng

BY_SITE = ("site-preserved", "leave-one-site-out")


def outer_folds(patients: pd.DataFrame, settings: Mapping[str, Any], seed: int) -> list[np.ndarray]:
    """Return the test part of each fold of a scheme of our own.

    Parameters
    ----------
    patients
        The cohort: `event`, `site`, `stratum`.
    settings
        `splits` of the cohort file.
    seed
        The run's seed.

    Returns
    -------
    list of bool ndarray, each of shape (n,)
        True for the patients who test; everybody else trains.
    """
    event, site, stratum = (patients[name].to_numpy() for name in ("event", "site", "stratum"))
    folds, scheme = settings["folds"], settings["scheme"]
    if scheme == "kfold":
        return _parts(deal(cells(event, stratum), folds, rng(seed, "folds")))
    if scheme == "repeated":
        draws = [rng(seed, "folds", repeat) for repeat in range(settings["repeats"])]
        return [test for draw in draws for test in _parts(deal(cells(event, stratum), folds, draw))]
    if scheme == "monte-carlo":
        share = settings["test_fraction"]
        return [draw_share(cells(event, stratum), share, rng(seed, "draw", fold)) for fold in range(folds)]
    if scheme == "site-preserved":
        return _parts(partition_sites(site, event, stratum, folds, rng(seed, "sites")))
    return leave_one_site_out(site, event, settings["site_events"])


def cells(event: np.ndarray, stratum: np.ndarray) -> np.ndarray:
    """Return the cell (event, then stratum) of each patient as an int, cells with the same event side by side."""
    _, layer = np.unique(stratum, return_inverse=True)
    return event.astype(int) * (layer.max(initial=0) + 1) + layer


def deal(cell: np.ndarray, parts: int, generator: np.random.Generator) -> np.ndarray:
    """Deal patients to parts like cards, cell after cell.

    Returns
    -------
    ndarray of int, shape (n,)
        Part from 1. Within a cell, among the deaths and overall, the sizes of two parts differ by at most one.

    Raises
    ------
    ValueError
        If there are fewer patients than parts.
    """
    if len(cell) < parts:
        raise ValueError(f"{len(cell)} patients cannot be dealt to {parts} parts; lower the number of folds.")
    order = _shuffled_by_cell(cell, generator)
    part = np.empty(len(cell), dtype=int)
    part[order] = generator.permutation(parts)[np.arange(len(cell)) % parts] + 1
    return part


def draw_share(cell: np.ndarray, share: float, generator: np.random.Generator) -> np.ndarray:
    """Draw a share of the patients, even over cells (systematic sampling after shuffling within cells).

    Returns
    -------
    ndarray of bool, shape (n,)
        The number drawn of a cell, of the deaths and of all differs from `share` by less than one patient.
    """
    order = _shuffled_by_cell(cell, generator)
    steps = np.floor(np.arange(len(cell) + 1) * share + generator.uniform())
    drawn = np.empty(len(cell), dtype=bool)
    drawn[order] = np.diff(steps) > 0
    return drawn


def leave_one_site_out(site: np.ndarray, event: np.ndarray, site_events: int) -> list[np.ndarray]:
    """Return one test part a site with at least `site_events` deaths, and one of all smaller sites if together they do.

    Raises
    ------
    ValueError
        If that makes fewer than two folds.
    """
    names, row = np.unique(site, return_inverse=True)
    large = np.bincount(row, event.astype(float)) >= site_events
    folds = [row == number for number in np.flatnonzero(large)]
    rest = ~large[row]
    if event[rest].sum() >= site_events:
        folds.append(rest)
    if len(folds) < 2:
        raise ValueError(
            f"{large.sum()} of {len(names)} sites have {site_events} deaths, too few to leave one out; "
            "lower `splits.site_events` or choose another scheme."
        )
    return folds


def inner_parts(
    patients: pd.DataFrame, settings: Mapping[str, Any], validation: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Divide training patients into inner validation parts.

    Parameters
    ----------
    patients
        Training patients: `event`, `site`, `stratum`.
    settings
        `splits` of the cohort file.
    validation
        True for those in a published validation part: they become part 1; all False where there is none.
    generator
        Source of the shuffling.

    Returns
    -------
    ndarray of int, shape (n,)
        Part from 1 to `inner_folds`. Where the scheme keeps sites whole so do the inner parts, if there are enough
        sites: a choice between models should not reward recognising the site either.
    """
    event, site, stratum = (patients[name].to_numpy() for name in ("event", "site", "stratum"))
    parts = settings["inner_folds"]
    if validation.any():
        part = np.ones(len(patients), dtype=int)
        part[~validation] = deal(cells(event, stratum)[~validation], parts - 1, generator) + 1
        return part
    if settings["scheme"] in BY_SITE and len(np.unique(site)) >= parts:
        return partition_sites(site, event, stratum, parts, generator)
    return deal(cells(event, stratum), parts, generator)


def _shuffled_by_cell(cell: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    order = generator.permutation(len(cell))
    return order[np.argsort(cell[order], kind="stable")]


def _parts(part: np.ndarray) -> list[np.ndarray]:
    return [part == number for number in range(1, part.max() + 1)]
