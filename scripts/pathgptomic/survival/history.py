"""What happened in training: one value for each network, epoch, quantity and branch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from torch import Tensor

from pathgptomic.survival.stack import Member

COLUMNS = ("fold", "seed", "inner", "epoch", "quantity", "branch", "value")
WHOLE = ""  # branch of a quantity that concerns the whole network


class History:
    """Values of K stacked networks, gathered epoch by epoch.

    Quantities: ``loss`` (training, with dropout) and ``loss_inner`` (left-out part), Cox loss per event; ``rho`` and
    ``coefficient`` of balanced training; ``update_norm``, length of the way that the branch's parameters went;
    ``c_train`` (networks of the whole training part, with dropout) and ``c_inner`` (left-out part), C-index of the
    network and of each branch's block of the head.
    """

    def __init__(self, networks: Sequence[Member]) -> None:
        self.networks = networks
        self.records: dict[tuple[str, str], dict[int, np.ndarray]] = {}

    def add(self, epoch: int, quantity: str, values: Mapping[str, Tensor | np.ndarray], active: np.ndarray) -> None:
        """Note {branch: [K]} of one epoch; networks that are not `active` (bool [K]) have stopped."""
        for branch, each in values.items():
            numbers = np.asarray(each.detach().cpu() if isinstance(each, Tensor) else each, np.float64)
            self.records.setdefault((quantity, branch), {})[epoch] = np.where(active, numbers, np.nan)

    def table(self) -> pd.DataFrame:
        """Return the long table, without values that do not exist (NaN)."""
        parts = []
        for (quantity, branch), by_epoch in self.records.items():
            values = np.stack(list(by_epoch.values()))  # [epochs, K]
            epoch, network = np.nonzero(~np.isnan(values))
            parts.append(
                pd.DataFrame(
                    {
                        **{
                            name: np.array([getattr(each, name) for each in self.networks], np.int32)[network]
                            for name in ("fold", "seed", "inner")
                        },
                        "epoch": np.array(list(by_epoch), np.int32)[epoch],
                        "quantity": quantity,
                        "branch": branch,
                        "value": values[epoch, network].astype(np.float32),
                    }
                )
            )
        table = pd.concat(parts, ignore_index=True)
        return table.sort_values(["fold", "seed", "inner", "epoch"], kind="stable", ignore_index=True)
