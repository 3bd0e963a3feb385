"""Which cells of a source are taken: types grouped, a cap for each type and donor, and donors kept apart."""

import logging
from collections.abc import Iterable
from fnmatch import fnmatchcase

import numpy as np
import pandas as pd

from pathgptomic.seeds import derive, rng

logger = logging.getLogger(__name__)

PARTS = ("train", "validation", "test")
TRIALS = 500  # splits of the donors that are compared


def group_labels(labels: pd.Series, groups: dict[str, list[str]], others: str) -> pd.Series:
    """Return the cell type of each label; missing where the label is in no group and others are dropped.

    Parameters
    ----------
    labels
        Labels as the source gives them.
    groups
        Labels of each type; ``*`` stands for any characters. Empty: every label is a type.
    others
        ``drop`` or ``keep`` (under their own name) what no group names.
    """
    if not groups:
        return labels
    types: dict[str, str | None] = {}
    for label in labels.unique():
        found = [name for name, patterns in groups.items() if any(fnmatchcase(label, pattern) for pattern in patterns)]
        if len(found) > 1:
            raise ValueError(f"the cell label '{label}' is in the groups {' and '.join(found)}; leave it in one.")
        types[label] = found[0] if found else (label if others == "keep" else None)
    return labels.map(types)


def sample_cells(
    tables: Iterable[pd.DataFrame], *, groups: dict[str, list[str]], others: str, cap: int, minimum: int, seed: int
) -> pd.DataFrame:
    """Return the cells to take: at most `cap` of each type and donor, and types of at least `minimum` cells.

    Which cells are taken depends on their names and the seed, not on how the source is cut into tables.

    Parameters
    ----------
    tables
        Cells by name with position, label and donor.
    groups, others
        See :func:`group_labels`.
    cap, minimum
        Numbers of cells.
    seed
        Seed of the run.

    Returns
    -------
    Cells by name with position, label, donor and cell_type.
    """
    key = f"{derive(seed, 'sample cells'):016x}"[:16]
    kept: list[pd.DataFrame] = []
    seen = 0
    for table in tables:
        seen += len(table)
        table = table.assign(cell_type=group_labels(table["label"], groups, others)).dropna(subset="cell_type")
        table["lot"] = pd.util.hash_array(table.index.to_numpy(dtype=object), hash_key=key, categorize=False)
        # pruned with every table, so that memory is bounded by the cap and not by the source
        kept = [_lowest(pd.concat([*kept, table]), cap)]
    cells = pd.concat(kept) if kept else pd.DataFrame(columns=["position", "label", "donor", "cell_type", "lot"])
    sizes = cells["cell_type"].value_counts()
    rare = sizes[sizes < minimum]
    for name, size in rare.items():
        logger.warning("cell type '%s' has %d cells, fewer than %d, and is left out", name, size, minimum)
    cells = cells[~cells["cell_type"].isin(rare.index)].drop(columns="lot")
    if cells["cell_type"].nunique() < 2:
        raise ValueError(
            f"{seen} cells give {cells['cell_type'].nunique()} cell types of at least {minimum} cells; at least two "
            "are needed: check the query, the groups and minimum_cells of this reference."
        )
    logger.info("%d of %d cells taken; types: %s", len(cells), seen, sizes.drop(rare.index).to_dict())
    return cells


def _lowest(cells: pd.DataFrame, cap: int) -> pd.DataFrame:
    cells = cells.sort_values("lot", kind="stable")
    return cells[cells.groupby(["cell_type", "donor"], sort=False).cumcount() < cap]


def split_donors(cells: pd.DataFrame, *, validation: float, test: float, seed: int) -> pd.Series:
    """Return the part of each cell; all cells of a donor are in one part.

    Of `TRIALS` random splits the one is taken that has most cell types in every part, then the one whose parts come
    nearest to the wanted shares.

    Parameters
    ----------
    cells
        Cells with donor and cell_type.
    validation, test
        Wanted shares of the cells.
    seed
        Seed of the run.

    Raises
    ------
    ValueError
        If there are fewer than three donors.
    """
    table = pd.crosstab(cells["donor"], cells["cell_type"])
    donors = len(table)
    if donors < len(PARTS):
        raise ValueError(
            f"the reference has {donors} donors, but training, validation and test cells have to come from different "
            "ones: use a source with at least 3, and check its donor column or pattern."
        )
    counts = table.to_numpy()
    wanted = np.array([1 - validation - test, validation, test])
    generator = rng(seed, "split donors")
    best, best_score = np.zeros(donors, dtype=int), (-1, -np.inf)
    for _ in range(TRIALS):
        order = generator.permutation(donors)
        # one donor each, then every next one where it is missed most
        part = np.full(donors, -1)
        part[order[:3]] = generator.permutation(3)
        size = np.array([counts[part == number].sum() for number in range(3)], dtype=float)
        for donor in order[3:]:
            part[donor] = np.argmax(wanted * counts.sum() - size)
            size[part[donor]] += counts[donor].sum()
        present = np.array([(counts[part == number].sum(axis=0) > 0) for number in range(3)])
        # a type that was not trained on cannot be found: training comes first
        score = (10 * int(present[0].sum()) + int(present[1:].sum()), -float(np.abs(size / size.sum() - wanted).sum()))
        if score > best_score:
            best, best_score = part, score
    parts = pd.Series([PARTS[number] for number in best], index=table.index)
    for name in PARTS:
        missing = table.columns[(table[parts == name] > 0).sum() == 0]
        if len(missing):
            logger.warning("no %s donor has cells of type %s", name, ", ".join(missing))
    return cells["donor"].map(parts)
