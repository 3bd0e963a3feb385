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
        self.width = d = settings.kronecker
        total = sum(widths.values())
        self.project = nn.ModuleDict({name: Linear(networks, width, d) for name, width in widths.items()})
        self.gate = nn.ModuleDict({name: Linear(networks, total, d) for name in widths})
        self.pairs = list(itertools.combinations(widths, 2))
        product = len(self.pairs) * (d + 1) ** 2
        self.layers = Perceptron(networks, product, settings.fusion, dropout=settings.dropout)
        self.head = Linear(networks, self.layers.outputs, 1, bias=False)
        self.noise_width = self.layers.noise_width

    def forward(self, embeddings: Embeddings, noise: Noise | None) -> tuple[Tensor, Embeddings]:
        """Return log-hazards [K, n] and what each branch alone would say (without gradient)."""
        one = self._gated(embeddings)
        return self._head(one, noise), {name: self._alone(one, name) for name in one}

    @torch.no_grad()
    def contributions(self, embeddings: Embeddings, blocks: Embeddings) -> Embeddings:
        """Return each branch's Shapley contribution to the log-hazard, [K, n], see `balance.contribution`."""
        one = self._gated(embeddings)
        nobody = {name: _only_one(each) for name, each in one.items()}
        full, null = self._head(one, None), self._head(nobody, None)
        without = {name: self._head({**one, name: nobody[name]}, None) for name in one}
        return {name: contribution(full, blocks[name], without[name], null) for name in one}

    def _gated(self, embeddings: Embeddings) -> Embeddings:
        """Return the gated branches with a 1 appended, [K, n, d + 1] each."""
        everything = torch.cat([embeddings[name] for name in self.project], dim=-1)
        one = {}
        for name, project in self.project.items():
            gated = torch.sigmoid(self.gate[name](everything)) * nn.functional.elu(project(embeddings[name]))
            one[name] = nn.functional.pad(gated, (0, 1), value=1.0)
        return one

    def _head(self, one: Embeddings, noise: Noise | None) -> Tensor:
        products = [(one[a].unsqueeze(-1) * one[b].unsqueeze(-2)).flatten(2) for a, b in self.pairs]  # [K, n, (d+1)^2]
        product = products[0] if len(products) == 1 else torch.cat(products, dim=-1)
        return self.head(self.layers(product, noise)).squeeze(-1)

    @torch.no_grad()
    def _alone(self, one: Embeddings, name: str) -> Tensor:
        """Return the log-hazard with all other branches at zero: their products are then a branch or a 1, no more."""
        first = self.layers.layers[0]
        side = self.width + 1
        weight = first.weight.view(len(first.weight), len(self.pairs), side, side, -1)
        made = first.bias
        for pair, (a, b) in enumerate(self.pairs):
            if name == a:
                made = made + torch.bmm(one[a], weight[:, pair, :, -1])
            elif name == b:
                made = made + torch.bmm(one[b], weight[:, pair, -1])
            else:
                made = made + weight[:, pair, -1, -1].unsqueeze(1)
        return self.head(self.layers.onwards(made, None)).squeeze(-1)


def _only_one(branch: Tensor) -> Tensor:
    """Return a gated branch at zero beside its 1."""
    return nn.functional.pad(torch.zeros_like(branch[..., :-1]), (0, 1), value=1.0)
