"""Layers of K stacked networks: every parameter is [K, ...], every activation [K, rows, width]."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pathgptomic.survival.noise import Noise

ALPHA_PRIME = -1.7580993408473766  # what a SELU saturates to, the value that alpha dropout sets


class Linear(nn.Module):
    """K affine maps: [K, n, inputs] -> [K, n, outputs]."""

    def __init__(self, networks: int, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(networks, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(networks, 1, outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Return x W + b."""
        return torch.bmm(x, self.weight) if self.bias is None else torch.baddbmm(self.bias, x, self.weight)


class Perceptron(nn.Module):
    """Layers of Linear, activation, dropout; ELU and alpha dropout if `self_normalising`, else ReLU and dropout."""

    def __init__(
        self,
        networks: int,
        inputs: int,
        hidden: Sequence[int],
        *,
        dropout: float,
        input_dropout: float = 0.0,
        self_normalising: bool = False,
    ) -> None:
        super().__init__()
        widths = [inputs, *hidden]
        self.layers = nn.ModuleList(Linear(networks, *pair) for pair in itertools.pairwise(widths))
        self.outputs = widths[-1]
        self.dropout, self.input_dropout = dropout, input_dropout
        self.self_normalising = self_normalising
        self.noise_width = (inputs if input_dropout else 0) + (sum(hidden) if dropout else 0)

    def forward(self, x: Tensor, noise: Noise | None) -> Tensor:
        """Return [K, n, outputs] of [K, n, inputs]."""
        if noise is not None and self.input_dropout:
            x = drop(x, self.input_dropout, noise)
        return self.onwards(self.layers[0](x), noise) if len(self.layers) else x

    def onwards(self, x: Tensor, noise: Noise | None) -> Tensor:
        """Return the same, given what the first layer makes of the input, [K, n, width]."""
        for i in range(len(self.layers)):
            x = self.layers[i](x) if i else x
            x = nn.functional.elu(x) if self.self_normalising else torch.relu(x)
            if noise is not None and self.dropout:
                x = (alpha_drop if self.self_normalising else drop)(x, self.dropout, noise)
        return x


def drop(x: Tensor, probability: float, noise: Noise) -> Tensor:
    """Return `x` with units set to zero, scaled so that its mean stays."""
    keep, exact = noise.keep(x.shape[-1], probability)
    return x * (keep.to(x.dtype) / (1 - exact))


def alpha_drop(x: Tensor, probability: float, noise: Noise) -> Tensor:
    """Return `x` with units set to the negative saturation of SELU, mapped so that mean and variance stay."""
    keep, exact = noise.keep(x.shape[-1], probability)
    a = ((1 - exact) * (1 + exact * ALPHA_PRIME**2)) ** -0.5
    b = -a * ALPHA_PRIME * exact
    return torch.where(keep, a * x + b, a * ALPHA_PRIME + b)
