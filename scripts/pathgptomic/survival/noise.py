"""Random numbers of stacked networks: each network has a stream of its own.

What a network draws depends on its own key, the step and the row, never on which networks are stacked beside it or on
how many rows its neighbours have. That is why training networks together and one by one gives the same result.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


class Noise:
    """Random bytes of one training step, handed out column by column in the order of the forward pass.

    A byte below 256 p drops a unit, so probabilities are met to 1/256; the scaling of what is kept uses the rounded
    probability and is exact.
    """

    def __init__(self, drawn: Tensor) -> None:
        self.drawn = drawn  # uint8 [K, rows, width]
        self.used = 0

    def keep(self, width: int, probability: float) -> tuple[Tensor, float]:
        """Return which of `width` columns to keep, bool [K, rows, width], and the exact probability of dropping."""
        columns = self.drawn[:, :, self.used : self.used + width]
        self.used += width
        threshold = round(256 * probability)
        return columns >= threshold, threshold / 256


def draw_bytes(keys: Sequence[int], step: int, rows: int, width: int, purpose: int = 0) -> Tensor:
    """Return random bytes uint8 [K, rows, width] for one step; network k's first rows do not depend on `rows`."""
    words = -(-rows * width // 8)
    drawn = np.empty((len(keys), words), np.uint64)
    for row, key in zip(drawn, keys, strict=True):
        row[:] = np.random.SFC64([key, step, purpose]).random_raw(words)
    return torch.from_numpy(drawn.view(np.uint8)[:, : rows * width].reshape(len(keys), rows, width))
