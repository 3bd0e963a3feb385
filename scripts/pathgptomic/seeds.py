"""One generator for each random choice, keyed by what it is for.

No global generator is ever used: a number drawn for one purpose never moves the numbers drawn for another.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive(seed: int, *purpose: str | int) -> int:
    """Return a 63-bit seed that depends on `seed` and on every part of `purpose`."""
    key = "\x1f".join([str(seed), *map(str, purpose)])
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little") >> 1


def rng(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return a numpy generator for one purpose, for example ``rng(17, "inner folds", fold)``."""
    return np.random.default_rng(derive(seed, *purpose))


def torch_generator(seed: int, *purpose: str | int, device: str = "cpu") -> torch.Generator:
    """Return a torch generator for one purpose on `device`."""
    import torch

    return torch.Generator(device=device).manual_seed(derive(seed, *purpose))
