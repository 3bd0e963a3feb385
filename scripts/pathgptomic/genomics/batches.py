"""Run sequences of any length through scGPT in batches of like length, and join those of a profile."""

from collections.abc import Iterator

import numpy as np
import torch

from pathgptomic.genomics.scgpt import ScGPT
from pathgptomic.genomics.tokens import Sequence

# Tokens in one batch: on a CPU few, since there padding costs more than small batches do (bench row scgpt_ragged_f32);
# on a GPU what keeps it busy (some 2 GB of activations).
BATCH_TOKENS = {"cpu": 900, "cuda": 153_600}


def embed_sequences(model: ScGPT, profiles: list[list[Sequence]], *, padding: int, batch_tokens: int = 0) -> np.ndarray:
    """Return the mean embedding of each profile's sequences, at length 1.

    Parameters
    ----------
    model
        The network, on its device.
    profiles
        Sequences of each profile.
    padding
        Token id of `<pad>`.
    batch_tokens
        Tokens in a batch, padding included; 0 for what suits the device.

    Returns
    -------
    Float32 (profiles, width); NaN where a profile has no sequence.
    """
    device = model.gene_table.device
    flat = [(number, sequence) for number, found in enumerate(profiles) for sequence in found]
    # by length, so that hardly anything is padded; the order is stable, so batches are the same in every run
    flat.sort(key=lambda item: len(item[1].ids))
    batches = list(_cut(flat, batch_tokens or BATCH_TOKENS[device.type]))
    # what a GPU computes is fetched after the last batch, so that it never waits for the next one
    results = [_forward(model, [sequence for _, sequence in batch], padding, device) for batch in batches]
    vectors = np.zeros((len(profiles), model.architecture.width), dtype=np.float32)
    for batch, result in zip(batches, results, strict=True):
        np.add.at(vectors, [number for number, _ in batch], result.cpu().numpy())
    with np.errstate(invalid="ignore"):
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _cut(flat: list[tuple[int, Sequence]], batch_tokens: int) -> Iterator[list[tuple[int, Sequence]]]:
    batch: list[tuple[int, Sequence]] = []
    for item in flat:
        # sorted by length: the newest sequence is the longest of its batch
        if batch and (len(batch) + 1) * len(item[1].ids) > batch_tokens:
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch


def _forward(model: ScGPT, batch: list[Sequence], padding: int, device: torch.device) -> torch.Tensor:
    lengths = np.array([len(sequence.ids) for sequence in batch])
    longest = lengths[-1]
    ids = np.full((len(batch), longest), padding, dtype=np.int64)
    rows = np.zeros((len(batch), longest), dtype=np.int64)
    for line, sequence in enumerate(batch):
        ids[line, : lengths[line]] = sequence.ids
        rows[line, : lengths[line]] = sequence.rows
    real = None if lengths[0] == longest else torch.from_numpy(np.arange(longest) < lengths[:, None]).to(device)
    return model(torch.from_numpy(ids).to(device), torch.from_numpy(rows).to(device), real)
