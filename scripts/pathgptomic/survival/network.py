"""The fusion network, K of them stacked: every parameter is [K, ...], every activation [K, rows, width].

Encoders turn tables into embeddings, MLP-B joins those of the genomics branch, a fusion head gives the log-hazard and
what each branch alone would say. Networks never mix: row k of every result depends on row k of every input only.

References
----------
Path-GPTOmic, ISBI 2024, arXiv 2403.11375, section 2.2. Self-normalising networks: Klambauer et al., NeurIPS 2017.
Gated Kronecker product: Pathomic Fusion, Chen et al., IEEE TMI 2022.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pathgptomic.seeds import torch_generator
from pathgptomic.survival.noise import Noise
from pathgptomic.survival.settings import ModelSettings, NetworkSettings

ALPHA_PRIME = -1.7580993408473766  # what a SELU saturates to, the value that alpha dropout sets
Embeddings = dict[str, Tensor]


@dataclass(frozen=True)
class Shape:
    """What the data decide about a network, besides its settings.

    Attributes
    ----------
    inputs
        Encoder -> width of its input.
    nullable
        Encoders that some patient lacks; each gets a trainable null embedding.
    """

    inputs: Mapping[str, int]
    nullable: frozenset[str] = frozenset()


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
        for layer in self.layers:
            x = layer(x)
            x = nn.functional.elu(x) if self.self_normalising else torch.relu(x)
            if noise is not None and self.dropout:
                x = (alpha_drop if self.self_normalising else drop)(x, self.dropout, noise)
        return x


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
        everything = torch.cat([embeddings[name] for name in self.project], dim=-1)
        gated = {
            name: torch.sigmoid(self.gate[name](everything)) * nn.functional.elu(project(embeddings[name]))
            for name, project in self.project.items()
        }
        log_hazard = self._head(gated, noise)
        blocks = {}
        with torch.no_grad():
            for name in gated:
                alone = {other: each if other == name else torch.zeros_like(each) for other, each in gated.items()}
                blocks[name] = self._head(alone, None)
        return log_hazard, blocks

    def _head(self, gated: Embeddings, noise: Noise | None) -> Tensor:
        one = {name: torch.cat([each, torch.ones_like(each[..., :1])], dim=-1) for name, each in gated.items()}
        products = [(one[a].unsqueeze(-1) * one[b].unsqueeze(-2)).flatten(2) for a, b in self.pairs]  # [K, n, (d+1)^2]
        return self.head(self.layers(torch.cat(products, dim=-1), noise)).squeeze(-1)


class FusionNetwork(nn.Module):
    """K fusion networks of one shape.

    Parameters
    ----------
    networks
        K.
    shape, settings
        Widths of the inputs, and the model's settings.
    auxiliary
        Whether every branch gets a head of its own, for the strategies that need one.
    """

    FUSIONS = {"concat": ConcatFusion, "kronecker": KroneckerFusion}

    def __init__(self, networks: int, shape: Shape, settings: ModelSettings, *, auxiliary: bool = False) -> None:
        super().__init__()
        net = settings.network
        self.networks, self.branches = networks, settings.branches
        self.modality_dropout = net.modality_dropout if len(self.branches) > 1 else 0.0
        self.encoders = nn.ModuleDict(
            {key(name): _encoder(networks, name, shape.inputs[name], net) for name in settings.encoders}
        )
        self.joint, self.null = nn.ModuleDict(), nn.ParameterDict()
        widths = {}
        for branch, names in self.branches.items():
            width = sum(self.encoders[key(name)].outputs for name in names)
            if len(names) > 1:
                self.joint[branch] = Perceptron(networks, width, net.joint, dropout=net.dropout)
                width = self.joint[branch].outputs
            widths[branch] = width
        for name in settings.encoders:
            if name in shape.nullable or self.modality_dropout:
                self.null[key(name)] = nn.Parameter(torch.zeros(networks, 1, self.encoders[key(name)].outputs))
        self.fusion = self.FUSIONS[settings.fusion](networks, widths, net)
        self.auxiliary = ConcatFusion(networks, widths, net) if auxiliary else None
        parts = [*self.encoders.values(), *self.joint.values(), self.fusion]
        self.noise_width = sum(part.noise_width for part in parts) + len(self.branches) * bool(self.modality_dropout)

    def forward(
        self, tables: Mapping[str, Tensor], present: Mapping[str, Tensor], noise: Noise | None = None
    ) -> tuple[Tensor, Embeddings, Embeddings]:
        """Return log-hazards [K, n], the branches' own log-hazards {branch: [K, n]} and embeddings {branch: [K, n, d]}.

        Parameters
        ----------
        tables
            Encoder -> [K, n, inputs].
        present
            Encoder -> bool [K, n], for the nullable ones.
        noise
            Random bytes of a training step; None in evaluation.
        """
        embeddings = self.embed(tables, present, noise)
        log_hazard, blocks = self.fusion(embeddings, noise)
        return log_hazard, blocks, embeddings

    def embed(self, tables: Mapping[str, Tensor], present: Mapping[str, Tensor], noise: Noise | None) -> Embeddings:
        """Return the branches' embeddings, [K, n, d] each."""
        hidden = self._hide(next(iter(tables.values())), noise) if self.modality_dropout else {}
        embeddings = {}
        for branch, names in self.branches.items():
            parts = []
            for name in names:
                part = self.encoders[key(name)](tables[name], noise)
                seen = _both(present.get(name), hidden.get(branch))
                if seen is not None:
                    part = torch.where(seen.unsqueeze(-1), part, self.null[key(name)])
                parts.append(part)
            embeddings[branch] = self.joint[branch](torch.cat(parts, -1), noise) if len(parts) > 1 else parts[0]
        return embeddings

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the parameters of each branch (encoders and MLP-B), and under "" those that balance leaves alone."""
        groups: dict[str, list[nn.Parameter]] = {"": list(self.fusion.parameters())}
        if self.auxiliary is not None:
            groups[""] += self.auxiliary.parameters()
        for branch, names in self.branches.items():
            parts = [self.encoders[key(name)] for name in names]
            parts += [self.joint[branch]] if branch in self.joint else []
            null = [self.null[key(name)] for name in names if key(name) in self.null]
            groups[branch] = [parameter for part in parts for parameter in part.parameters()] + null
        return groups

    def initialise(self, seeds: Sequence[int]) -> None:
        """Draw all weights anew, network k from its own seed: normal with variance 1 / inputs, heads a tenth of that.

        A head that starts small starts every network near "all patients alike", where no branch is ahead.
        """
        heads = {id(each.weight) for each in self._heads()}
        linears = [each for each in self.modules() if isinstance(each, Linear)]
        with torch.no_grad():
            for k, seed in enumerate(seeds):
                generator = torch_generator(seed, "weights")
                for each in linears:
                    shape = each.weight.shape[1:]
                    scale = (0.1 if id(each.weight) in heads else 1.0) / math.sqrt(max(shape[0], 1))
                    each.weight[k] = torch.randn(shape, generator=generator).to(each.weight.device) * scale

    def _heads(self) -> list[Linear]:
        fusions = [self.fusion] + ([self.auxiliary] if self.auxiliary is not None else [])
        return [head for each in fusions for head in (each.heads.values() if hasattr(each, "heads") else [each.head])]

    def _hide(self, like: Tensor, noise: Noise | None) -> dict[str, Tensor]:
        """Return which branches of which patients a training step may see, bool [K, n]; at least one of them."""
        if noise is None:
            return {}
        seen, _ = noise.keep(len(self.branches), self.modality_dropout)
        seen = seen | ~seen.any(-1, keepdim=True)
        return dict(zip(self.branches, seen.unbind(-1), strict=True))


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


def key(name: str) -> str:
    """Return an encoder's name as a module's, which may hold no dot."""
    return name.replace(".", "_")


def _encoder(networks: int, name: str, inputs: int, net: NetworkSettings) -> Perceptron:
    if name == "clinical":
        return Perceptron(networks, inputs, net.clinical, dropout=net.dropout)
    if name == "slides":
        return Perceptron(networks, inputs, net.slides, dropout=net.dropout)
    hidden = net.snn if name == "snn" else net.expression
    return Perceptron(
        networks, inputs, hidden, dropout=net.dropout, input_dropout=net.input_dropout, self_normalising=True
    )


def _both(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    return second if first is None else first if second is None else first & second
