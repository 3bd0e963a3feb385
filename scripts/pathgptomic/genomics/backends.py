"""Compare our encoder with the published package on the user's own checkpoint and profiles."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from pathgptomic.files import atomic
from pathgptomic.genomics.batches import embed_sequences
from pathgptomic.genomics.checkpoint import read_checkpoint
from pathgptomic.genomics.embed import find_device, find_dtype
from pathgptomic.genomics.profiles import Profiles
from pathgptomic.genomics.published import MAX_LENGTH, embed_published, record_draws
from pathgptomic.genomics.scgpt import ScGPT
from pathgptomic.genomics.tokens import Sequence, bin_values
from pathgptomic.seeds import rng

logger = logging.getLogger(__name__)


def compare_backends(
    *, expression: str, checkpoint: str, minimum_known: float, profiles: int, seed: int, device: str, comparison: str
) -> None:
    """Embed some profiles with both, with the same random choices, and write how far they are apart.

    The published package draws the bins of tied values and the genes of long profiles from global generators. Its draws
    are recorded and given to our tokeniser, so that what remains is the difference of the two calculations.

    Parameters
    ----------
    expression, checkpoint, minimum_known
        Profiles and checkpoint folder.
    profiles
        How many profiles to compare.
    seed
        Seed of the choice of profiles, and of the published package.
    device
        auto, cpu or cuda; in float32 on a CPU the two agree to about 1e-6, in half precision on a GPU to about 1e-3.
    comparison
        Table to write: profile, genes, tokens, cosine, difference (largest absolute, both embeddings of length 1).
    """
    source = read_checkpoint(checkpoint)
    read = Profiles(expression, source.vocabulary, minimum_known=minimum_known)
    count = min(profiles, len(read.names))
    rows = np.sort(rng(seed, "profiles of both backends").choice(len(read.names), count, replace=False))
    matrix = read.read(rows)
    rows, matrix = rows[matrix.getnnz(axis=1) > 0], matrix[matrix.getnnz(axis=1) > 0]
    chosen = find_device(device)
    with record_draws() as draws:
        theirs = embed_published(matrix, read.genes, Path(checkpoint), seed=seed, device=str(chosen))
    model = ScGPT(source, find_dtype("auto", chosen)).to(chosen)
    sequences = [
        [_replay(matrix[line], read.tokens, source.vocabulary["<cls>"], source.architecture.bins, uniform, kept)]
        for line, (uniform, kept) in enumerate(draws)
    ]
    ours = embed_sequences(model, sequences, padding=source.vocabulary["<pad>"])
    table = pd.DataFrame(
        {
            "profile": [read.names[row] for row in rows],
            "genes": matrix.getnnz(axis=1),
            "tokens": [len(found[0].ids) for found in sequences],
            "cosine": (ours * theirs).sum(axis=1),
            "difference": np.abs(ours - theirs).max(axis=1),
        }
    )
    logger.info("lowest cosine %.7f, largest difference %.2g", table["cosine"].min(), table["difference"].max())
    with atomic(comparison) as temporary:
        table.to_csv(temporary, sep="\t", index=False, float_format="%.9g")


def _replay(row, tokens: np.ndarray, cls: int, bins: int, uniform: np.ndarray, kept: np.ndarray | None) -> Sequence:
    """Return the sequence that the published package made of a profile, from the numbers it drew."""
    kept = np.arange(row.nnz) if kept is None else kept[: MAX_LENGTH - 1]
    return Sequence(np.r_[cls, tokens[row.indices[kept]]], np.r_[0, bin_values(row.data, uniform, bins)[kept]])
