"""One training step of K stacked networks: loss, what balance makes of it, gradient, update."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pathgptomic.seeds import torch_generator
from pathgptomic.survival.balance import BalanceSettings, Branches, Modulation, Step, make_strategy
from pathgptomic.survival.cox import cox_loss, shares
from pathgptomic.survival.image_network import CachedPictures
from pathgptomic.survival.modulate import add_noise, gradient_spread, scale_gradient, scale_step
from pathgptomic.survival.network import FusionNetwork, Output
from pathgptomic.survival.noise import Noise, draw_bytes
from pathgptomic.survival.optimiser import make_optimiser
from pathgptomic.survival.pictures import CHANGES, Pictures
from pathgptomic.survival.pooling import CachedPool, Instances, Scale
from pathgptomic.survival.risk_sets import RiskSets
from pathgptomic.survival.settings import ModelSettings
from pathgptomic.survival.stack import Block, gather_rows, mark_rows

# an event that is alone at risk has share 1 in every branch and would only dilute the ratio
_shares = functools.partial(shares, drop_alone=True)
NEVER_SCALED = ("none", "auxiliary", "mmpareto")  # strategies whose coefficients are always 1
# what a network's random numbers of one step are for; 3 is for mini-batches
ROWS, POOL, UNIFORM, PICTURES = 0, 1, 2, 4


@dataclass(frozen=True)
class StepResult:
    """What is noted of a step; tensors [K], log-hazards [K, n]."""

    loss: Tensor
    rho: Branches
    coefficients: Branches
    update: Branches
    log_hazards: Branches


class Trainer:
    """The optimiser of K stacked networks and the balance between their branches.

    Parameters
    ----------
    network
        K networks, on their device.
    settings
        The model's settings.
    seeds
        [K] seed of each network's random numbers.
    slides
        The instances and their scale, if slides are pooled by attention.
    rois
        The regions and the scale of their features, if an image network reads them.
    """

    def __init__(
        self,
        network: FusionNetwork,
        settings: ModelSettings,
        seeds: Sequence[int],
        slides: tuple[Instances, Scale] | None = None,
        rois: tuple[Pictures, Scale] | None = None,
    ) -> None:
        # one branch has nothing to be balanced with
        balance = settings.balance if len(network.branches) > 1 else BalanceSettings("none")
        self.network, self.settings, self.seeds = network, settings, seeds
        self.slides, self.rois = slides, rois
        self.strategy = make_strategy(balance)
        self.teaches = bool(self.strategy.auxiliary_weight) or "gradients" in self.strategy.needs
        self.parameters = list(network.parameters())
        self.device = self.parameters[0].device
        # a branch without layers of its own has nothing to be held back: it stands in the head alone
        self.groups = {name: group for name, group in network.groups().items() if name and group}
        self.rates = learning_rates(network, settings)
        self.optimisers = [
            make_optimiser([each for each in self.parameters if self.rates[id(each)] == rate], settings.training, rate)
            for rate in sorted(set(self.rates.values()))
        ]
        self.noise_generators = [torch_generator(seed, "gradient", device=self.device.type) for seed in seeds]
        self.state: Branches = {}
        self.steps = 0

    def step(self, batch: Block, risk_sets: RiskSets, epoch: int) -> StepResult:
        """Move every network once and say how; `risk_sets` are those of `batch`."""
        self.steps += 1
        pools, tables = self._pooled(batch)
        with self.autocast():
            output = self.network(tables, batch.present, self._noise(batch))
        joint = cox_loss(output.log_hazard, risk_sets, ties=self.settings.loss.ties)
        own = self._own_losses(output, risk_sets)
        weight = self.strategy.auxiliary_weight or 1.0
        total = joint.sum() + (weight * sum(own.values()).sum() if own else 0)
        separate = "gradients" in self.strategy.needs
        gradients = self._gradients(joint.sum() if separate else total, pools, keep=separate)
        auxiliary = self._gradients(total - joint.sum(), pools) if separate else None
        modulation = self._modulation(output, risk_sets, own, gradients, auxiliary, epoch)
        self._set_gradients(gradients, auxiliary, modulation)
        update = self._move(modulation)
        blocks = {"": output.log_hazard, **(output.blocks if len(output.blocks) > 1 else {})}
        return StepResult(
            joint.detach(),
            modulation.rho,
            modulation.coefficients,
            update,
            {name: each.detach().float() for name, each in blocks.items()},
        )

    def autocast(self) -> torch.autocast:
        """Return the context of a forward pass: bfloat16 on a GPU, if the settings ask for it."""
        wanted = self.settings.training.amp and self.device.type == "cuda"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=wanted)

    def _pooled(self, batch: Block) -> tuple[list[CachedPool | CachedPictures], dict[str, Tensor]]:
        """Return what networks pool in this step (instances of slides, pictures), and the tables with its rows."""
        pools, tables = [], dict(batch.tables)
        if self.slides is not None:
            pools.append(self._pool_slides(batch))
            rows = torch.from_numpy(batch.rows).to(self.device).clamp_min(0)
            tables["slides"] = gather_rows(pools[-1].pooled, rows)
        if self.rois is not None:
            pictures, scale = self.rois
            changes = draw_bytes(self.seeds, self.steps, len(pictures.row), CHANGES, PICTURES).numpy()
            with self.autocast():
                pools.append(CachedPictures(self.network.images, pictures, batch.rows, changes))
            tables["rois"] = pools[-1].table(batch.rows, scale)
        return pools, tables

    def _pool_slides(self, batch: Block) -> CachedPool:
        instances, scale = self.slides
        wanted = mark_rows(batch.rows, instances.ranges.shape[1]).any(axis=0)
        keep, probability = None, self.settings.network.dropout
        if probability:
            width = self.network.pool.width
            drawn = draw_bytes(self.seeds, self.steps, len(wanted), width, POOL).to(self.device)
            kept, exact = Noise(drawn).keep(width, probability)
            keep = kept.float() / (1 - exact)
        with self.autocast():
            return CachedPool(self.network.pool, instances, scale, keep, wanted)

    def _noise(self, batch: Block) -> Noise | None:
        width = self.network.noise_width
        if not width:
            return None
        return Noise(draw_bytes(self.seeds, self.steps, batch.rows.shape[1], width, ROWS).to(self.device))

    def _own_losses(self, output: Output, risk_sets: RiskSets) -> Branches:
        """Return the Cox losses of the auxiliary heads; on detached embeddings where they measure and do not teach."""
        if self.network.auxiliary is None:
            return {}
        embeddings = output.embeddings
        if not self.teaches:
            embeddings = {name: each.detach() for name, each in embeddings.items()}
        with self.autocast():
            log_hazards = self.network.own_log_hazards(embeddings)
        return {name: cox_loss(each, risk_sets, ties=self.settings.loss.ties) for name, each in log_hazards.items()}

    def _gradients(
        self, loss: Tensor, pools: Sequence[CachedPool | CachedPictures], *, keep: bool = False
    ) -> list[Tensor | None]:
        """Return the gradient of `loss` in the order of the parameters, None where it does not depend on one."""
        inputs = [*self.parameters, *(pool.pooled for pool in pools)]
        found = list(torch.autograd.grad(loss, inputs, allow_unused=True, retain_graph=keep))
        found, through = found[: len(self.parameters)], found[len(self.parameters) :]
        for pool, gradient in zip(pools, through, strict=True):
            if gradient is None:
                continue
            with self.autocast():  # the second pass is to be the first one again
                passed_on = pool.backward(gradient)
            of_pool = dict(zip(map(id, pool.pool.parameters()), passed_on, strict=True))
            found = [of_pool.get(id(each), one) for each, one in zip(self.parameters, found, strict=True)]
        return found

    @torch.no_grad()
    def _modulation(
        self,
        output: Output,
        risk_sets: RiskSets,
        own: Branches,
        gradients: Sequence[Tensor | None],
        auxiliary: Sequence[Tensor | None] | None,
        epoch: int,
    ) -> Modulation:
        """Ask the strategy, with what it needs to know."""
        needs = self.strategy.needs
        blocks = {name: each.float() for name, each in output.blocks.items()}
        seen = torch.stack(list(output.seen.values())).all(0) if output.seen else 1  # [K, n]
        literal = uniform = contributions = pairs = None
        if "literal" in needs:
            literal = {name: _shares(each, risk_sets, literal=True) * seen for name, each in blocks.items()}
        if "contributions" in needs:
            parts = self.network.fusion.contributions(output.embeddings, blocks)
            contributions = {name: cox_loss(each.float(), risk_sets) for name, each in parts.items()}
        if "uniform" in needs:
            uniform = draw_bytes(self.seeds, self.steps, 1, len(blocks), UNIFORM)[:, 0].to(self.device)
        if auxiliary is not None:
            joint = self._by_branch(gradients)
            pairs = {name: (joint[name], each) for name, each in self._by_branch(auxiliary).items()}
        modulation = self.strategy(
            Step(
                epoch=epoch,
                shares={name: _shares(each, risk_sets) * seen for name, each in blocks.items()},
                literal=literal,
                auxiliary_loss={name: each.detach() for name, each in own.items()} or None,
                contribution_loss=contributions,
                gradients=pairs,
                uniform=uniform,
                state=self.state,
            )
        )
        self.state = modulation.state
        return modulation

    def _by_branch(self, gradients: Sequence[Tensor | None]) -> Branches:
        """Return each branch's gradient as [K, P]."""
        by_parameter = {id(parameter): each for parameter, each in zip(self.parameters, gradients, strict=True)}
        return {
            name: _flat([_or_zero(by_parameter[id(each)], each) for each in group])
            for name, group in self.groups.items()
        }

    @torch.no_grad()
    def _set_gradients(
        self, gradients: Sequence[Tensor | None], auxiliary: Sequence[Tensor | None] | None, modulation: Modulation
    ) -> None:
        """Put the gradients where the optimiser looks for them, weighed, noised and scaled as balance decided."""
        for parameter, each in zip(self.parameters, gradients, strict=True):
            parameter.grad = _or_zero(each, parameter)
        if auxiliary is not None:
            weights = modulation.gradient_weights or {}
            of = {id(each): weights[name] for name, group in self.groups.items() if name in weights for each in group}
            for parameter, each in zip(self.parameters, auxiliary, strict=True):
                first, second = (_like(factor, parameter) for factor in of.get(id(parameter), (1.0, 1.0)))
                parameter.grad = first * parameter.grad + second * _or_zero(each, parameter)
        for name, group in self.groups.items():
            spread = gradient_spread(group) if modulation.noise else None
            if self.strategy.settings.apply_to == "grad":
                scale_gradient(group, modulation.coefficients[name])
            if spread is not None:
                add_noise(group, spread, self.noise_generators)

    @torch.no_grad()
    def _move(self, modulation: Modulation) -> Branches:
        """Let the optimiser step, hold branches back, and return how far each of them went, [K]."""
        before = {name: _flat(group) for name, group in self.groups.items()}
        for optimise in self.optimisers:
            optimise()
        balance = self.strategy.settings
        weight_decay = self.settings.training.weight_decay if balance.apply_to == "update" else 0.0
        length = {}
        for name, group in self.groups.items():
            if balance.apply_to != "grad" and balance.strategy not in NEVER_SCALED:
                decay = [self.rates[id(each)] * weight_decay for each in group]
                scale_step(group, _unflat(before[name], group), modulation.coefficients[name], decay=decay)
            length[name] = (_flat(group) - before[name]).norm(dim=1)
        return length


def learning_rates(network: FusionNetwork, settings: ModelSettings) -> dict[int, float]:
    """Return the learning rate of each parameter by its id: an image network that can see already takes small steps."""
    rates = {id(each): settings.training.learning_rate for each in network.parameters()}
    images = () if network.images is None else network.images.parameters()
    return rates | {id(each): settings.rois.learning_rate for each in images}


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    """Return a copy of tensors [K, ...] as one [K, P]."""
    return torch.cat([each.detach().flatten(1) for each in tensors], dim=1)


def _unflat(flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Return the parts of [K, P] in the shapes of `like`."""
    parts = flat.split([each[0].numel() for each in like], dim=1)
    return [part.view_as(each) for part, each in zip(parts, like, strict=True)]


def _or_zero(gradient: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if gradient is None else gradient


def _like(factor: Tensor | float, parameter: Tensor) -> Tensor | float:
    """Return [K] factors in the shape that multiplies a parameter [K, ...]."""
    return factor.to(parameter.dtype).view(-1, *[1] * (parameter.dim() - 1)) if isinstance(factor, Tensor) else factor
