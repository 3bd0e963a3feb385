"""From an expression profile to the tokens of scGPT: expressed genes, binned values, and which genes go where.

The published contract (scgpt 0.2.4, ``tasks.embed_data``) in short: genes with a value other than zero, matched to the
vocabulary by symbol; values binned within the profile by 50 quantiles over ALL its expressed genes, before any gene is
left out; ``<cls>`` with the padding value first. Only ranks within a profile matter, so counts, counts per million and
their logarithm give the same tokens.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pathgptomic.seeds import rng

POLICIES = ("partition", "random:K", "genes:FILE", "full")


@dataclass(frozen=True)
class Selection:
    """Which of a profile's expressed genes are shown to the network.

    A bulk profile expresses some 18,000 genes, the network was trained on 1,200 tokens, and there is no positional
    encoding. ``partition``: disjoint random parts that cover every gene once. ``random``: `draws` random subsets, of
    which one is what the published package does. ``genes``: the genes of a list. ``full``: one sequence of any length.
    """

    kind: str
    draws: int = 1
    genes: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, policy: str) -> "Selection":
        """Read a policy as it stands in the configuration.

        Raises
        ------
        ValueError
            If it is none of partition, random:K, genes:FILE, full, or the file is not there.
        """
        kind, _, argument = policy.partition(":")
        if policy in ("partition", "full"):
            return cls(kind)
        if kind == "random" and argument.isdigit() and int(argument) > 0:
            return cls(kind, draws=int(argument))
        if kind == "genes" and argument:
            if not Path(argument).is_file():
                raise ValueError(f"genomics.policy names the gene list {argument}, which is not there; check the path.")
            return cls(kind, genes=frozenset(Path(argument).read_text(encoding="utf-8").split()))
        raise ValueError(f"genomics.policy is '{policy}'; choose one of {', '.join(POLICIES)}.")


@dataclass(frozen=True)
class Sequence:
    """One input of the network: token ids and rows of its value table, ``<cls>`` first, both (tokens,)."""

    ids: np.ndarray
    rows: np.ndarray


def bin_values(values: np.ndarray, uniform: np.ndarray, bins: int = 51) -> np.ndarray:
    """Bin the expressed values of one profile by its own quantiles.

    Parameters
    ----------
    values
        Non-zero values, float32 (n,).
    uniform
        Numbers in [0, 1), one a value (n,). They decide where a value equals several edges (ties): such a value may get
        any of the bins it spans.
    bins
        Number of bins with the empty one; values get 1 .. bins - 1.

    Returns
    -------
    Bins, int64 (n,).
    """
    edges = np.quantile(values, np.linspace(0, 1, bins - 1))
    # np.searchsorted is np.digitize without its check of the edges, which quantiles pass
    above = np.searchsorted(edges, values, side="right")
    below = np.searchsorted(edges, values, side="left")
    # the published order of the terms, since another one rounds differently
    return np.ceil(uniform * (below - above) + above).astype(np.int64)


def share_of_ties(values: np.ndarray, bins: int = 51) -> float:
    """Return the share of a profile's expressed genes whose bin is left to chance, in [0, 1]."""
    edges = np.quantile(values, np.linspace(0, 1, bins - 1))
    span = np.searchsorted(edges, values, side="right") - np.searchsorted(edges, values, side="left")
    return float(np.mean(span > 1))


def choose_genes(
    count: int, selection: Selection, max_length: int, generator: np.random.Generator, listed: np.ndarray | None = None
) -> list[np.ndarray]:
    """Return the genes of each sequence of a profile, as positions into its expressed genes.

    Parameters
    ----------
    count
        Number of expressed genes.
    selection
        The policy.
    max_length
        Longest sequence, `<cls>` included.
    generator
        Generator of this profile.
    listed
        For ``genes``: which of the expressed genes are on the list, bool (count,).
    """
    room = max_length - 1
    if selection.kind == "full":
        return [np.arange(count)]
    if selection.kind == "genes":
        found = np.flatnonzero(listed)
        if len(found) > room:
            raise ValueError(
                f"the gene list of genomics.policy has {len(found)} genes that one profile expresses, but a sequence "
                f"holds {room}; shorten the list or use the policy partition."
            )
        return [found] if len(found) else []
    if count <= room:
        return [np.arange(count)]
    if selection.kind == "random":
        return [np.sort(generator.permutation(count)[:room]) for _ in range(selection.draws)]
    # near-equal parts rather than full ones and a rest: every part's embedding has the same weight in the mean
    return [np.sort(part) for part in np.array_split(generator.permutation(count), -(-count // room))]


@dataclass(frozen=True)
class Tokeniser:
    """Turns profiles into sequences; what a profile gets depends on its name, the seed and the draw, on nothing else.

    Parameters
    ----------
    cls
        Token id of ``<cls>``.
    selection, max_length, bins
        See :class:`Selection`, :func:`choose_genes`, :func:`bin_values`.
    seed
        Seed of the run.
    draw
        Number of the draw, for asking how far an embedding depends on it.
    """

    cls: int
    selection: Selection
    max_length: int
    seed: int
    bins: int = 51
    draw: int = 0

    def sequences(
        self, name: str, tokens: np.ndarray, values: np.ndarray, listed: np.ndarray | None = None
    ) -> list[Sequence]:
        """Return the sequences of one profile; none where it expresses no known gene.

        Parameters
        ----------
        name
            Name of the profile, which its generator is derived from.
        tokens, values
            Token ids and values of its expressed genes, in the order of the genes (n,).
        listed
            See :func:`choose_genes`.
        """
        if not len(values):
            return []
        ties = rng(self.seed, "ties of a profile", name, self.draw)
        rows = bin_values(values, ties.random(len(values)), self.bins)
        choice = rng(self.seed, "genes of a profile", name, self.draw)
        parts = choose_genes(len(values), self.selection, self.max_length, choice, listed)
        return [Sequence(np.r_[self.cls, tokens[part]], np.r_[0, rows[part]]) for part in parts]
