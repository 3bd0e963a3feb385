"""How the branches' embeddings become one log-hazard, and what each branch alone would say.

References
----------
Path-GPTOmic, ISBI 2024, arXiv 2403.11375, eq. (1). Gated Kronecker product: Pathomic Fusion, Chen et al.,
IEEE TMI 2022.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pathgptomic.survival.balance import contribution
from pathgptomic.survival.layers import Linear, Perceptron
from pathgptomic.survival.noise import Noise
from pathgptomic.survival.settings import NetworkSettings

Embeddings = dict[str, Tensor]


class ConcatFusion(nn.Module):
    """One weight vector over all embeddings, eq. (1); it has no bias, which the partial likelihood cannot see."""

    noise_width = 0

    def __init__(self, networks: int, widths: Mapping[str, int], settings: NetworkSettings) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({name: Linear(networks, width, 1, bias=False) for name, width in widths.items()})

    def forward(self, embeddings: Embeddings, noise: Noise | None) -> tuple[Tensor, Embeddings]:
        """Return log-hazards [K, n] and what each branch adds to them."""
        blocks = {name: head(embeddings[name]).squeeze(-1) for name, head in self.heads.items()}  # [K, n]
        return sum(blocks.values()), blocks

    def contributions(self, embeddings: Embeddings, blocks: Embeddings) -> Embeddings:
        """Return each branch's Shapley contribution to the log-hazard, [K, n]; of a sum, the block itself."""
        return blocks


class KroneckerFusion(nn.Module):
    """Gated Kronecker product of the branches, each with a 1 appended.

    The product of two branches holds both branches and all products of their units. With more than two branches, one
    product is taken for each pair, since the full product would grow with the power of their number. A branch's own
    log-hazard is that of the same layers with the other branches at zero beside their 1.
    """

    def __init__(self, networks: int, widths: Mapping[str, int], settings: NetworkSettings) -> None:
        super().__init__()
        d, total = settings.kronecker, sum(widths.values())
        self.project = nn.ModuleDict({name: Linear(networks, width, d) for name, width in widths.items()})
        self.gate = nn.ModuleDict({name: Linear(networks, total, d) for name in widths})
        self.pairs = list(itertools.combinations(widths, 2))
        product = len(self.pairs) * (d + 1) ** 2
        self.layers = Perceptron(networks, product, settings.fusion, dropout=settings.dropout)
        self.head = Linear(networks, self.layers.outputs, 1, bias=False)
        self.noise_width = self.layers.noise_width

    def forward(self, embeddings: Embeddings, noise: Noise | None) -> tuple[Tensor, Embeddings]:
        """Return log-hazards [K, n] and what each branch alone would say (without gradient)."""
        gated = self._gated(embeddings)
        with torch.no_grad():
            blocks = {name: self._head(_only(gated, {name}), None) for name in gated}
        return self._head(gated, noise), blocks

    @torch.no_grad()
    def contributions(self, embeddings: Embeddings, blocks: Embeddings) -> Embeddings:
        """Return each branch's Shapley contribution to the log-hazard, [K, n], see `balance.contribution`."""
        gated = self._gated(embeddings)
        full, null = self._head(gated, None), self._head(_only(gated, set()), None)
        return {
            name: contribution(full, blocks[name], self._head(_only(gated, set(gated) - {name}), None), null)
            for name in gated
        }

    def _gated(self, embeddings: Embeddings) -> Embeddings:
        everything = torch.cat([embeddings[name] for name in self.project], dim=-1)
        return {
            name: torch.sigmoid(self.gate[name](everything)) * nn.functional.elu(project(embeddings[name]))
            for name, project in self.project.items()
        }

    def _head(self, gated: Embeddings, noise: Noise | None) -> Tensor:
        one = {name: torch.cat([each, torch.ones_like(each[..., :1])], dim=-1) for name, each in gated.items()}
        products = [(one[a].unsqueeze(-1) * one[b].unsqueeze(-2)).flatten(2) for a, b in self.pairs]  # [K, n, (d+1)^2]
        return self.head(self.layers(torch.cat(products, dim=-1), noise)).squeeze(-1)


def _only(embeddings: Embeddings, kept: set[str]) -> Embeddings:
    return {name: each if name in kept else torch.zeros_like(each) for name, each in embeddings.items()}
