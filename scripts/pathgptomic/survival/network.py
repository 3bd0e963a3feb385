"""The fusion network, K of them stacked: every parameter is [K, ...], every activation [K, rows, width].

Encoders turn tables into embeddings, MLP-B joins those of the genomics branch, a fusion head gives the log-hazard and
what each branch alone would say. Networks never mix: row k of every result depends on row k of every input only.

References
----------
Path-GPTOmic, ISBI 2024, arXiv 2403.11375, section 2.2. Self-normalising networks: Klambauer et al., NeurIPS 2017.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pathgptomic.seeds import torch_generator
from pathgptomic.survival.fusion import ConcatFusion, Embeddings, KroneckerFusion
from pathgptomic.survival.image_network import ImageBase, ImageNetworks
from pathgptomic.survival.layers import Linear, Perceptron
from pathgptomic.survival.noise import Noise
from pathgptomic.survival.pooling import AttentionPool
from pathgptomic.survival.settings import ModelSettings, NetworkSettings


@dataclass(frozen=True)
class Shape:
    """What the data decide about a network, besides its settings.

    Attributes
    ----------
    inputs
        Encoder -> width of its input.
    nullable
        Encoders that some patient lacks; each gets a trainable null embedding.
    instances
        Features of an instance where slides are pooled by attention, else 0.
    """

    inputs: Mapping[str, int]
    nullable: frozenset[str] = frozenset()
    instances: int = 0


@dataclass(frozen=True)
class Output:
    """What a forward pass gives.

    Attributes
    ----------
    log_hazard
        [K, n].
    blocks
        Branch -> [K, n], what the branch alone says.
    embeddings
        Branch -> [K, n, d].
    seen
        Branch -> bool [K, n], whose branch was there and not hidden; branches that everyone has are left out.
    """

    log_hazard: Tensor
    blocks: dict[str, Tensor]
    embeddings: Embeddings
    seen: dict[str, Tensor]


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
    images
        The image network of models that read regions of interest.
    """

    FUSIONS = {"concat": ConcatFusion, "kronecker": KroneckerFusion}

    def __init__(
        self,
        networks: int,
        shape: Shape,
        settings: ModelSettings,
        *,
        auxiliary: bool = False,
        images: ImageBase | None = None,
    ) -> None:
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
        self.pool = AttentionPool(networks, shape.instances, net.attention) if shape.instances else None
        self.images = None if images is None else ImageNetworks(networks, images)
        parts = [*self.encoders.values(), *self.joint.values(), self.fusion]
        self.noise_width = sum(part.noise_width for part in parts) + len(self.branches) * bool(self.modality_dropout)

    def forward(
        self, tables: Mapping[str, Tensor], present: Mapping[str, Tensor], noise: Noise | None = None
    ) -> Output:
        """Run K networks on n patients each.

        Parameters
        ----------
        tables
            Encoder -> [K, n, inputs].
        present
            Encoder -> bool [K, n], for the nullable ones.
        noise
            Random bytes of a training step; None in evaluation.
        """
        hidden = self._hide(noise) if noise is not None and self.modality_dropout else {}
        embeddings, seen = {}, {}
        for branch, names in self.branches.items():
            parts, there = [], []
            for name in names:
                part = self.encoders[key(name)](tables[name], noise)
                mask = _both(present.get(name), hidden.get(branch))
                if mask is not None:
                    part = torch.where(mask.unsqueeze(-1), part, self.null[key(name)])
                    there.append(mask)
                parts.append(part)
            if len(there) == len(names):
                seen[branch] = torch.stack(there).any(0)
            embeddings[branch] = self.joint[branch](torch.cat(parts, -1), noise) if len(parts) > 1 else parts[0]
        log_hazard, blocks = self.fusion(embeddings, noise)
        return Output(log_hazard, blocks, embeddings, seen)

    def own_log_hazards(self, embeddings: Embeddings) -> dict[str, Tensor]:
        """Return the log-hazards [K, n] of the branches' auxiliary heads."""
        return self.auxiliary(embeddings, None)[1]

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the parameters of each branch (encoders and MLP-B), and under "" those that balance leaves alone."""
        groups: dict[str, list[nn.Parameter]] = {"": list(self.fusion.parameters())}
        if self.auxiliary is not None:
            groups[""] += self.auxiliary.parameters()
        for branch, names in self.branches.items():
            parts = [self.encoders[key(name)] for name in names]
            parts += [self.joint[branch]] if branch in self.joint else []
            null = [self.null[key(name)] for name in names if key(name) in self.null]
            parts += [self.pool] if branch == "slides" and self.pool is not None else []
            parts += [self.images] if branch == "rois" and self.images is not None else []
            groups[branch] = [parameter for part in parts for parameter in part.parameters()] + null
        return groups

    def initialise(self, seeds: Sequence[int]) -> None:
        """Draw all weights anew, network k from its own seed: normal with variance 1 / inputs, heads a tenth of that.

        A head that starts small starts every network near "all patients alike", where no branch is ahead. An
        image network keeps the weights that it came with.
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

    def _hide(self, noise: Noise) -> dict[str, Tensor]:
        """Return which branches of which patients a training step may see, bool [K, n]; at least one of them."""
        seen, _ = noise.keep(len(self.branches), self.modality_dropout)
        seen = seen | ~seen.any(-1, keepdim=True)
        return dict(zip(self.branches, seen.unbind(-1), strict=True))


def key(name: str) -> str:
    """Return an encoder's name as a module's, which may hold no dot."""
    return name.replace(".", "_")


def _encoder(networks: int, name: str, inputs: int, net: NetworkSettings) -> Perceptron:
    if name == "clinical":
        return Perceptron(networks, inputs, net.clinical, dropout=net.dropout)
    if name in ("slides", "rois"):
        return Perceptron(networks, inputs, getattr(net, name), dropout=net.dropout)
    hidden = net.snn if name == "snn" else net.expression
    return Perceptron(
        networks, inputs, hidden, dropout=net.dropout, input_dropout=net.input_dropout, self_normalising=True
    )


def _both(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    return second if first is None else first if second is None else first & second
