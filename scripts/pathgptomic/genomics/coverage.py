"""Bulk beside two-cell and many-cell mixtures: the assumption that the adapter rests on, in numbers and a picture.

scGPT sees ranks within a profile. A mixture stands in for bulk only if it expresses about as many genes, leaves about
as few of them tied, and ranks them alike.
"""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

from pathgptomic.files import atomic
from pathgptomic.genomics.checkpoint import read_vocabulary
from pathgptomic.genomics.profiles import Profiles
from pathgptomic.genomics.tokens import share_of_ties
from pathgptomic.seeds import rng

MOST = 200  # profiles of each kind that are looked at
TITLES = {"cells": "single cells", "pairs": "two cells mixed", "pseudobulk": "many cells mixed", "bulk": "bulk"}
MEASURES = {
    "expressed": "Expressed genes known to scGPT",
    "ties": "Genes whose bin is left to chance",
    "rank_correlation": "Rank correlation with mean bulk",
}
COLOURS = {"cells": "#b8b8b8", "pairs": "#7fa8c9", "pseudobulk": "#2f6690", "bulk": "#c8553d"}


def compare_mixtures(
    *, bulk: str, mixtures: str, vocabulary: str, minimum_known: float, seed: int, table: str, figure: str
) -> None:
    """Compare a cohort's bulk profiles with the mixtures of a reference.

    Parameters
    ----------
    bulk
        Expression of the cohort.
    mixtures
        Labelled profiles of the reference.
    vocabulary
        The checkpoint's vocab.json.
    minimum_known
        See :class:`pathgptomic.genomics.profiles.Profiles`.
    seed
        Seed of the choice of profiles.
    table
        Table to write: kind, profile, expressed, ties, rank_correlation, coverage (share of the genes that the typical
        bulk sample expresses which the profile expresses too).
    figure
        The same as an SVG picture.
    """
    known = read_vocabulary(Path(vocabulary))
    samples = Profiles(bulk, known, minimum_known=minimum_known)
    simulated = Profiles(mixtures, known, minimum_known=minimum_known)
    common = [gene for gene in samples.genes if gene in set(simulated.genes)]
    bulk_rows = _choose(np.arange(len(samples.names)), seed, "bulk")
    values = _aligned(samples, bulk_rows, common)
    ranks = np.apply_along_axis(_ranks, 1, values.toarray()).mean(axis=0)
    typical = np.asarray((values > 0).mean(axis=0)).ravel() >= 0.5
    rows = _measure("bulk", samples, bulk_rows, common, ranks, typical)
    forms = _read_forms(mixtures)
    for form in dict.fromkeys(forms):
        rows += _measure(form, simulated, _choose(np.flatnonzero(forms == form), seed, form), common, ranks, typical)
    result = pd.DataFrame(rows, columns=["kind", "profile", *MEASURES, "coverage"])
    with atomic(table) as temporary:
        result.to_csv(temporary, sep="\t", index=False, float_format="%.6g")
    with atomic(figure) as temporary:
        _draw(result, len(common), len(samples.genes), temporary)


def _read_forms(path: str) -> np.ndarray:
    from anndata.io import read_elem

    with h5py.File(path, "r") as file:
        return read_elem(file["obs"])["form"].astype(str).to_numpy()


def _choose(rows: np.ndarray, seed: int, kind: str) -> np.ndarray:
    if len(rows) <= MOST:
        return rows
    return np.sort(rng(seed, "profiles compared", kind).choice(rows, MOST, replace=False))


def _aligned(profiles: Profiles, rows: np.ndarray, genes: list[str]) -> sp.csr_matrix:
    position = {gene: column for column, gene in enumerate(profiles.genes)}
    return profiles.read(rows)[:, [position[gene] for gene in genes]]


def _measure(
    kind: str, profiles: Profiles, rows: np.ndarray, genes: list[str], ranks: np.ndarray, typical: np.ndarray
) -> list[list[object]]:
    everything, shared = profiles.read(rows), _aligned(profiles, rows, genes).toarray()
    measured = []
    for number, row in enumerate(rows):
        values = everything[number].data
        correlation = np.corrcoef(_ranks(shared[number]), ranks)[0, 1]
        covered = (shared[number] > 0)[typical].mean()
        measured.append([kind, profiles.names[row], len(values), share_of_ties(values), correlation, covered])
    return measured


def _ranks(values: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata

    return rankdata(values)


def _draw(table: pd.DataFrame, common: int, known: int, path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    kinds = [kind for kind in TITLES if kind in set(table["kind"])]
    with plt.rc_context({"svg.hashsalt": "pathgptomic", "font.size": 9, "svg.fonttype": "none"}):
        figure, axes = plt.subplots(1, len(MEASURES), figsize=(10, 2.9), layout="constrained")
        for axis, (measure, title) in zip(axes, MEASURES.items(), strict=True):
            parts = [table.loc[table["kind"] == kind, measure].dropna() for kind in kinds]
            boxes = axis.boxplot(parts, orientation="horizontal", widths=0.6, showfliers=False, patch_artist=True)
            for box, line, kind in zip(boxes["boxes"], boxes["medians"], kinds, strict=True):
                box.set(facecolor=COLOURS[kind], linewidth=0.6)
                line.set(color="black", linewidth=1.2)
            axis.set_title(title, loc="left", fontsize=9)
            axis.spines[["top", "right"]].set_visible(False)
            axis.set_yticks(range(1, len(kinds) + 1), ["" for _ in kinds])
        sizes = table["kind"].value_counts()
        axes[0].set_yticklabels([f"{TITLES[kind]} (n = {sizes[kind]})" for kind in kinds])
        axes[0].set_xlim(left=0)
        axes[1].set_xlim(0, 1)
        figure.supxlabel(f"{common} of {known} bulk genes known to scGPT are in the reference", fontsize=8)
        # no date in the file, so that the same picture is the same file
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)
