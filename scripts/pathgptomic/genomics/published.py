"""The published `scgpt` package itself, for whoever wants the original and for comparison with it.

Runs in an environment of its own (envs/scgpt.yaml). The package needs torchtext, whose last release does not load
beside a current torch; the two names it takes from there are a look-up table, which is written out below.
"""

import contextlib
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from pathgptomic.genomics.profiles import Profiles
from pathgptomic.genomics.tokens import share_of_ties

MAX_LENGTH = 1200


class LookUp:
    """Tokens and their numbers: the part of ``torchtext.vocab.Vocab`` that the package uses for embedding."""

    def __init__(self, source: "LookUp | None" = None):
        self.vocab = self
        self.tokens: list[str] = list(source.tokens) if source else []
        self.numbers: dict[str, int] = dict(source.numbers) if source else {}
        self.default: int | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: str) -> bool:
        return token in self.numbers

    def __getitem__(self, token: str) -> int:
        number = self.numbers.get(token, self.default)
        if number is None:
            raise RuntimeError(f"token {token} is not in the vocabulary")
        return number

    def __call__(self, tokens: list[str]) -> list[int]:
        """Return the numbers of some tokens."""
        return [self[token] for token in tokens]

    def set_default_index(self, number: int) -> None:
        """Set the number of unknown tokens."""
        self.default = number

    def insert_token(self, token: str, number: int) -> None:
        """Add a token with its number."""
        # the package inserts in the order of the numbers, so that inserting is always appending
        if number != len(self):
            raise RuntimeError(f"token {token} has number {number} in a vocabulary of {len(self)}")
        self.numbers[token] = number
        self.tokens.append(token)

    def append_token(self, token: str) -> None:
        """Add a token with the next number."""
        self.insert_token(token, len(self))


def load_package() -> Any:
    """Import `scgpt` with the look-up table in torchtext's place, and return its module ``tasks.cell_emb``.

    Raises
    ------
    ValueError
        If the package is not installed here.
    """

    def vocab(counts: dict[str, int], min_freq: int = 1) -> LookUp:
        table = LookUp()
        for token, count in counts.items():
            if count >= min_freq:
                table.append_token(token)
        return table

    torchtext, names = types.ModuleType("torchtext"), types.ModuleType("torchtext.vocab")
    names.Vocab, names.vocab, torchtext.vocab = LookUp, vocab, names
    sys.modules["torchtext"], sys.modules["torchtext.vocab"] = torchtext, names
    try:
        import scgpt.tasks.cell_emb as cell_emb
    except ModuleNotFoundError as error:
        raise ValueError(
            f"the published scgpt package cannot be loaded here ({error}); run the rule with its own environment "
            "(--software-deployment-method conda, envs/scgpt.yaml) or choose genomics.backend: native."
        ) from error
    return cell_emb


@contextlib.contextmanager
def one_stream() -> Iterator[None]:
    """Let the package load its data in this process: its workers would draw from generators of their own."""
    affinity = os.sched_getaffinity
    os.sched_getaffinity = lambda _pid=0: set()
    try:
        yield
    finally:
        os.sched_getaffinity = affinity


@contextlib.contextmanager
def record_draws() -> Iterator[list[tuple[np.ndarray, np.ndarray | None]]]:
    """Record what the package draws, profile by profile: numbers for tied values, and the order of a long profile."""
    package = load_package()
    draws: list[tuple[np.ndarray, np.ndarray | None]] = []
    uniform, permutation = np.random.rand, torch.randperm

    def recorded_uniform(*shape: int) -> np.ndarray:
        drawn = uniform(*shape)
        draws.append((drawn, None))
        return drawn.copy()

    def recorded_permutation(*arguments: Any, **named: Any) -> torch.Tensor:
        drawn = permutation(*arguments, **named)
        draws[-1] = (draws[-1][0], drawn.numpy().copy())
        return drawn

    batches = package.get_batch_cell_embeddings

    def recorded(*arguments: Any, **named: Any) -> np.ndarray:
        np.random.rand, torch.randperm = recorded_uniform, recorded_permutation
        return batches(*arguments, **named)

    package.get_batch_cell_embeddings = recorded
    try:
        yield draws
    finally:
        np.random.rand, torch.randperm = uniform, permutation
        package.get_batch_cell_embeddings = batches


def embed_published(
    matrix: Any, genes: list[str], folder: str | Path, *, seed: int, device: str, batch_size: int = 64
) -> np.ndarray:
    """Embed profiles with ``scgpt.tasks.embed_data`` as it is.

    Parameters
    ----------
    matrix
        Profiles x genes, dense or sparse, linear scale.
    genes
        Gene symbols of the columns.
    folder
        The checkpoint folder.
    seed
        Seed of numpy's and torch's global generators, which the package draws from; its result depends on the batch
        size and on the order of the profiles too.

    Returns
    -------
    Embeddings of length 1, float32 (profiles, width).
    """
    import anndata

    package = load_package()
    data = anndata.AnnData(matrix.copy(), var={"symbol": genes})
    # embed_data draws random weights before it loads the real ones: seed where the draws that matter begin
    batches = package.get_batch_cell_embeddings

    def seeded(*arguments: Any, **named: Any) -> np.ndarray:
        np.random.seed(seed % 2**32)  # noqa: NPY002 - the package knows no other generator
        torch.manual_seed(seed)
        return batches(*arguments, **named)

    package.get_batch_cell_embeddings = seeded
    try:
        with one_stream():
            result = package.embed_data(
                data,
                folder,
                gene_col="symbol",
                max_length=MAX_LENGTH,
                batch_size=batch_size,
                device=device,
                use_fast_transformer=False,
            )
    finally:
        package.get_batch_cell_embeddings = batches
    return result.obsm["X_scGPT"]


def run_published(profiles: Profiles, folder: str, *, seed: int, device: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Embed all profiles of a file with the published package, and return embeddings and facts as `Embedder.run` does.

    The package crashes at a profile without a known gene; such profiles are kept from it.
    """
    matrix = profiles.read(np.arange(len(profiles.names)))
    expressed = matrix.getnnz(axis=1)
    ties = [share_of_ties(row.data) if row.nnz else np.nan for row in matrix]
    names = pd.Index(profiles.names)
    facts = pd.DataFrame(
        {"expressed": expressed, "ties": ties, "sequences": (expressed > 0).astype(int), "draw_cosine": np.nan},
        index=names,
    )
    vectors = embed_published(matrix[expressed > 0], profiles.genes, folder, seed=seed, device=device)
    columns = [f"scgpt_{column}" for column in range(vectors.shape[1])]
    return pd.DataFrame(vectors, index=names[expressed > 0], columns=columns), facts
