"""Which networks a model consists of, and the numbers of many networks as one tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pathgptomic.seeds import derive
from pathgptomic.survival.inputs import CohortInputs
from pathgptomic.survival.settings import ModelSettings


@dataclass(frozen=True)
class Member:
    """One network of a model.

    Attributes
    ----------
    fold, seed
        Outer fold, and the number of the seed (from 1).
    inner
        0 for the network of the whole training part, else the inner part that it leaves out.
    rows, left_out, test
        Positions in the cohort: fitted on, left out by `inner`, and the fold's test patients.
    """

    fold: int
    seed: int
    inner: int
    rows: np.ndarray
    left_out: np.ndarray
    test: np.ndarray

    def weights_seed(self, base: int) -> int:
        """Return the seed of the first weights: the same for the networks of a fold, so that their epochs compare."""
        return derive(base, "network", self.fold, self.seed)

    def noise_seed(self, base: int) -> int:
        """Return the seed of dropout and mini-batches."""
        return derive(base, "noise", self.fold, self.seed, self.inner)


def members(inputs: CohortInputs, seeds: int) -> list[Member]:
    """Return all networks of a model: for each fold and seed one on the whole training part, one an inner part less."""
    return [
        Member(fold.number, seed, inner, rows, left_out, fold.test)
        for fold in inputs.folds
        for seed in range(1, seeds + 1)
        for inner, rows, left_out in fold.networks()
    ]


@dataclass(frozen=True)
class Block:
    """Some patients of each of K networks, padded to the same number.

    Attributes
    ----------
    rows
        Positions in the cohort [K, n]; -1 is padding, which stands last.
    mask
        Who is no padding, bool [K, n].
    tables
        Encoder -> float32 [K, n, inputs].
    present
        Encoder -> bool [K, n], for encoders that some patient of the cohort lacks.
    """

    rows: np.ndarray
    mask: Tensor
    tables: Mapping[str, Tensor]
    present: Mapping[str, Tensor]

    def take(self, index: Tensor) -> Block:
        """Return the rows `index` [K, m] of each network, -1 for padding."""
        at = index.clamp_min(0)
        padding = index < 0
        tables = {name: gather_rows(each, at) for name, each in self.tables.items()}
        return Block(
            np.where(padding.cpu(), -1, np.take_along_axis(self.rows, at.cpu().numpy(), 1)),
            self.mask.gather(1, at) & ~padding,
            tables,
            {name: each.gather(1, at) for name, each in self.present.items()},
        )


def nullable(inputs: CohortInputs, settings: ModelSettings) -> frozenset[str]:
    """Return the encoders that some patient of the cohort lacks."""
    return frozenset(
        encoder for encoder, names in settings.encoders.items() if not encoder_present(inputs, names).all()
    )


def encoder_present(inputs: CohortInputs, modalities: Sequence[str]) -> np.ndarray:
    """Return which patients have any of an encoder's modalities, bool (patients,)."""
    return np.logical_or.reduce([inputs.present(name) for name in modalities])


def pad(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Return ragged rows as one array [K, longest], of one column at least, -1 where there is none."""
    out = np.full((len(rows), max(1, *map(len, rows))), -1)
    for line, each in zip(out, rows, strict=True):
        line[: len(each)] = each
    return out


def make_block(
    rows: Sequence[np.ndarray],
    tables: Sequence[Mapping[str, np.ndarray]],
    present: Mapping[str, np.ndarray],
    device: torch.device,
) -> Block:
    """Return the patients `rows[k]` of each network as a block.

    Parameters
    ----------
    tables
        Of each network: {encoder: [patients of the cohort, inputs]}.
    present
        {encoder: bool (patients,)} of the nullable encoders.
    """
    padded = pad(rows)
    stacked = {}
    for name, first in tables[0].items():
        out = np.zeros((*padded.shape, first.shape[1]), np.float32)
        for k, each in enumerate(rows):
            out[k, : len(each)] = tables[k][name][each]
        stacked[name] = torch.from_numpy(out).to(device)
    return Block(
        padded,
        torch.from_numpy(padded >= 0).to(device),
        stacked,
        {name: torch.from_numpy(each[padded]).to(device) for name, each in present.items()},
    )


def mark_rows(rows: np.ndarray, patients: int) -> np.ndarray:
    """Return which patients stand in each network's `rows` [K, n] (-1 is padding), bool [K, patients]."""
    found = np.zeros((len(rows), patients + 1), bool)
    np.put_along_axis(found, rows, True, axis=1)  # padding marks the last column
    return found[:, :patients]


def gather_rows(table: Tensor, index: Tensor) -> Tensor:
    """Return the rows `index` [K, m] of `table` [K, n, p], as [K, m, p]."""
    return table.gather(1, index[..., None].expand(-1, -1, table.shape[2]))
