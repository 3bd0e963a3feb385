"""Mix single cells into labelled profiles: two cells as in the paper, or many as in bulk tissue.

Sources: two cells with lambda ~ U[0, 1], Path-GPTOmic (arXiv 2403.11375) section 2.1; pseudo-bulk as in Scaden (Menden
et al., Sci Adv 2020) and TAPE (Chen et al., Nat Commun 2022), with labels that are the fractions realised.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from tqdm import tqdm

from pathgptomic.files import atomic
from pathgptomic.seeds import rng
from pathgptomic.singlecell.choose import PARTS
from pathgptomic.singlecell.stream import CsrWriter, read_rows

logger = logging.getLogger(__name__)

FORMS = ("cells", "pairs", "pseudobulk")
DEPTH = 1e4  # counts a cell is scaled to before mixing, so that a weight is a share of RNA
TOGETHER = 500  # mixtures that are summed at once (dense: 500 x 60,000 genes are 120 MB)


@dataclass(frozen=True)
class MixSettings:
    """How many mixtures of which form, and how they are made (``mixtures`` of a reference)."""

    train: int
    validation: int
    test: int
    forms: tuple[str, ...] = FORMS
    combine: str = "normalised"  # normalised: mean of cells of one depth | raw: sum of raw counts
    cells: tuple[int, int] = (10, 500)
    sparse: float = 0.5


@dataclass(frozen=True)
class Mixture:
    """Which cells a mixture is made of: row numbers within the part, their weights, and its label (types,)."""

    cells: np.ndarray
    weights: np.ndarray
    fractions: np.ndarray


def mix_cells(*, cells: str, settings: dict, seed: int, mixtures: str) -> None:
    """Write the mixtures of a reference.

    Parameters
    ----------
    cells
        Reference as :func:`pathgptomic.singlecell.cells.fetch_cells` writes it.
    settings
        Fields of :class:`MixSettings`.
    seed
        Seed of the run; every mixture has a generator of its own.
    mixtures
        AnnData file to write: linear values (CSR float32); obs: form, part, cells (how many were mixed);
        ``obsm["fractions"]``: share of each cell type; ``uns["cell_types"]``: their names.
    """
    wanted = MixSettings(**{key: tuple(v) if isinstance(v, list) else v for key, v in settings.items()})
    obs, genes = _read_tables(cells)
    types = sorted(obs["cell_type"].unique())
    tables, fractions = [], []
    with atomic(mixtures) as temporary:
        writer = CsrWriter(temporary, len(genes))
        for form in wanted.forms:
            for part in PARTS:
                drawn = _draw_part(obs, types, form, part, wanted, seed)
                for block in _sum_cells(cells, obs, part, drawn, normalise=wanted.combine == "normalised"):
                    writer.add(block)
                tables.append(_describe(drawn, form, part))
                fractions += [mixture.fractions for mixture in drawn]
        content = {"scale": "linear", "cell_types": np.array(types, dtype=object)}
        obsm = {"fractions": np.array(fractions, dtype=np.float32)}
        writer.close(pd.concat(tables), pd.DataFrame(index=pd.Index(genes)), uns=content, obsm=obsm)


def _read_tables(path: str) -> tuple[pd.DataFrame, list[str]]:
    from anndata.io import read_elem

    with h5py.File(path, "r") as file:
        return read_elem(file["obs"]), [str(gene) for gene in read_elem(file["var"]).index]


def _draw_part(
    obs: pd.DataFrame, types: list[str], form: str, part: str, settings: MixSettings, seed: int
) -> list[Mixture]:
    codes = pd.Categorical(obs.loc[obs["part"] == part, "cell_type"], categories=types).codes
    mixtures = []
    for number in range(getattr(settings, part)):
        generator = rng(seed, "mixture", form, part, number)
        if form == "pseudobulk":
            mixtures.append(draw_many(codes, len(types), settings, generator))
        else:
            mixtures.append(draw_few(codes, len(types), 2 if form == "pairs" else 1, generator))
    return mixtures


def draw_few(codes: np.ndarray, types: int, count: int, generator: np.random.Generator) -> Mixture:
    """Draw one cell, or two different ones with lambda ~ U[0, 1].

    Parameters
    ----------
    codes
        Cell type of every cell that may be drawn, as a number (n,).
    types
        Number of types.
    count
        1 or 2.
    generator
        Generator of this mixture.
    """
    cells = generator.choice(len(codes), size=count, replace=False)
    share = generator.random()
    weights = np.array([share, 1 - share]) if count == 2 else np.ones(1)
    return Mixture(cells, weights, np.bincount(codes[cells], weights, minlength=types))


def draw_many(codes: np.ndarray, types: int, settings: MixSettings, generator: np.random.Generator) -> Mixture:
    """Draw the cells of a pseudo-bulk profile.

    The number of cells is log-uniform, the wanted proportions are Dirichlet(1) over all types or, in `settings.sparse`
    of the mixtures, over a random subset of them; cells are drawn with replacement, and the label is what was drawn.
    """
    low, high = settings.cells
    count = int(round(np.exp(generator.uniform(np.log(low), np.log(high)))))
    present = np.unique(codes)
    if generator.random() < settings.sparse:
        present = generator.choice(present, size=generator.integers(1, len(present) + 1), replace=False)
    numbers = generator.multinomial(count, generator.dirichlet(np.ones(len(present))))
    drawn = [generator.choice(np.flatnonzero(codes == code), size=n) for code, n in zip(present, numbers, strict=True)]
    cells = np.concatenate(drawn)
    return Mixture(cells, np.ones(count), np.bincount(codes[cells], minlength=types) / count)


def _sum_cells(
    path: str, obs: pd.DataFrame, part: str, mixtures: list[Mixture], *, normalise: bool
) -> Iterator[sp.csr_matrix]:
    """Yield the expression of the mixtures in blocks; cells are read in order, a block at a time."""
    rows = np.flatnonzero(obs["part"] == part)
    start, stop = int(rows[0]), int(rows[-1]) + 1  # cells are sorted by part
    depth = obs["depth"].to_numpy(dtype=np.float64)[start:stop]
    for first in tqdm(range(0, len(mixtures), TOGETHER), unit=f"x{TOGETHER} {part}", desc="mixtures", mininterval=5):
        few = mixtures[first : first + TOGETHER]
        lines = np.repeat(np.arange(len(few)), [len(mixture.cells) for mixture in few])
        cells = np.concatenate([mixture.cells for mixture in few])
        weights = np.concatenate([mixture.weights for mixture in few])
        if normalise:
            sums = np.array([mixture.weights.sum() for mixture in few])
            weights = weights / sums[lines] * DEPTH / depth[cells]
        take = sp.csc_matrix((weights.astype(np.float32), (lines, cells)), shape=(len(few), stop - start))
        total: np.ndarray | None = None
        for row, block in read_rows(path, start, stop):
            share = take[:, row - start : row - start + block.shape[0]]
            if share.nnz:
                product = (share.tocsr() @ block).toarray()
                total = product if total is None else np.add(total, product, out=total)
        yield sp.csr_matrix(total)


def _describe(mixtures: list[Mixture], form: str, part: str) -> pd.DataFrame:
    names = [f"{form}-{part}-{number:06d}" for number in range(len(mixtures))]
    content = {"form": form, "part": part, "cells": [len(mixture.cells) for mixture in mixtures]}
    return pd.DataFrame(content, index=pd.Index(names, dtype=object))
