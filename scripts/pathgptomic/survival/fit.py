"""Fit K stacked networks, watch them on the inner parts that they leave out, and predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from pathgptomic.survival.concordance import Pairs, concordance
from pathgptomic.survival.cox import cox_loss
from pathgptomic.survival.history import WHOLE, History
from pathgptomic.survival.image_network import CachedPictures
from pathgptomic.survival.network import FusionNetwork, Output
from pathgptomic.survival.pictures import Pictures
from pathgptomic.survival.pooling import CachedPool, Instances, Scale
from pathgptomic.survival.risk_sets import RiskSets
from pathgptomic.survival.settings import ModelSettings
from pathgptomic.survival.stack import Block, Member, gather_rows, mark_rows
from pathgptomic.survival.step import StepResult, Trainer


@dataclass(frozen=True)
class Data:
    """What K networks are fitted on and judged by.

    Attributes
    ----------
    train, left_out, test
        The patients of each network.
    time, event
        Of all patients of the cohort, by position.
    slides
        The instances and their scale, if slides are pooled by attention.
    rois
        The regions and the scale of their features, if an image network reads them.
    """

    train: Block
    left_out: Block
    test: Block
    time: np.ndarray
    event: np.ndarray
    slides: tuple[Instances, Scale] | None = None
    rois: tuple[Pictures, Scale] | None = None

    def outcome(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (time, event, mask) of positions [K, n]; -1 is padding."""
        return self.time[rows], self.event[rows], rows >= 0


def fit(
    network: FusionNetwork,
    data: Data,
    networks: Sequence[Member],
    settings: ModelSettings,
    *,
    seed: int,
    batches: int = 1,
    label: str = "",
) -> tuple[History, np.ndarray]:
    """Train `network` in place.

    Parameters
    ----------
    network
        K networks; their weights are drawn anew.
    networks
        Which network each of the K is.
    seed
        Of the run.
    batches
        Steps an epoch, for risk sets within mini-batches.
    label
        Shown before the progress bar.

    Returns
    -------
    History
        Values of every epoch.
    ndarray
        [K] the epoch whose weights were kept, from 1.
    """
    network.initialise([each.weights_seed(seed) for each in networks])
    trainer = Trainer(network, settings, [each.noise_seed(seed) for each in networks], data.slides, data.rois)
    watch = Watch(network, trainer, data, networks)
    history = History(networks)
    device = data.train.mask.device
    full = RiskSets.build(*data.outcome(data.train.rows)[:2], mask=data.train.rows >= 0).to(device)
    for epoch in (bar := tqdm(range(1, settings.training.epochs + 1), desc=label, leave=False, mininterval=1)):
        if settings.loss.risk_set == "full":
            results = [trainer.step(data.train, full, epoch)]
            order = None
        else:
            order = mini_batches(data, trainer.seeds, epoch, batches)
            results = [_mini_step(trainer, data, index.to(device), epoch) for index in order]
        active = watch.active.copy()
        _note_training(history, epoch, results, order, watch, active)
        watch.judge(epoch, history)
        stopped = f"{(~watch.active).sum()}/{len(networks)}"
        bar.set_postfix(inner=f"{watch.best_loss.mean():.3f}", stopped=stopped, refresh=False)
        if not watch.active.any():
            break
    return history, watch.finish(epoch)


class Watch:
    """Inner losses of every epoch; keeps the weights of the best one, the same epoch for a fold and seed.

    The networks of a fold and seed, the one on the whole training part included, stop together: their epoch is the one
    with the lowest loss per event over all left-out parts.
    """

    def __init__(self, network: FusionNetwork, trainer: Trainer, data: Data, networks: Sequence[Member]) -> None:
        self.network, self.trainer, self.data = network, trainer, data
        self.training = trainer.settings.training
        device = data.train.mask.device
        groups = [(each.fold, each.seed) for each in networks]
        distinct = list(dict.fromkeys(groups))
        self.group = np.array([distinct.index(each) for each in groups])  # [K]
        self.whole = np.array([each.inner == 0 for each in networks])
        time, event, mask = data.outcome(data.left_out.rows)
        self.events = (event & mask).sum(axis=1)
        self.risk_sets = RiskSets.build(time, event, mask=mask).to(device)
        self.pairs = Pairs.build(time, event, mask, device)
        # the curve in training is drawn for the networks of whole training parts alone: it costs more than their step
        self.train_pairs = Pairs.build(*(each[self.whole] for each in data.outcome(data.train.rows)), device)
        self.best_loss = np.full(len(distinct), np.inf)
        self.best_epoch = np.zeros(len(distinct), int)
        self.active = np.ones(len(networks), bool)
        self.best = {name: each.detach().clone() for name, each in network.named_parameters()}

    @torch.no_grad()
    def judge(self, epoch: int, history: History) -> None:
        """Look at the left-out parts after an epoch."""
        output = predict(self.network, self.data.left_out, self.trainer.autocast(), self.data.slides, self.data.rois)
        left = self.risk_sets
        loss = cox_loss(output.log_hazard, left, ties=self.trainer.settings.loss.ties, reduction="sum").cpu().numpy()
        inner = self.active & ~self.whole
        history.add(epoch, "loss_inner", {WHOLE: loss / np.where(self.events > 0, self.events, np.nan)}, inner)
        blocks = {WHOLE: output.log_hazard, **(output.blocks if len(output.blocks) > 1 else {})}
        history.add(
            epoch, "c_inner", {name: concordance(each.float(), self.pairs) for name, each in blocks.items()}, inner
        )
        groups = len(self.best_loss)
        total = np.bincount(self.group, loss, groups) / np.maximum(np.bincount(self.group, self.events, groups), 1)
        better = (total < self.best_loss) & self._active_groups()
        self.best_loss[better], self.best_epoch[better] = total[better], epoch
        if self.training.early_stopping:
            index = torch.from_numpy(np.flatnonzero(better[self.group])).to(self.risk_sets.order.device)
            for name, each in self.network.named_parameters():
                self.best[name][index] = each.detach()[index]
            self.active = (epoch - self.best_epoch < self.training.patience)[self.group]

    def finish(self, last: int) -> np.ndarray:
        """Put the kept weights in place and return the epoch that each network stands at, [K]."""
        if not self.training.early_stopping:
            return np.full(len(self.group), last)
        with torch.no_grad():
            for name, each in self.network.named_parameters():
                each.copy_(self.best[name])
        return self.best_epoch[self.group]

    def _active_groups(self) -> np.ndarray:
        return np.bincount(self.group, self.active, len(self.best_loss)) > 0


@torch.no_grad()
def predict(
    network: FusionNetwork,
    block: Block,
    autocast: torch.autocast,
    slides: tuple[Instances, Scale] | None = None,
    rois: tuple[Pictures, Scale] | None = None,
) -> Output:
    """Run K networks on the patients of `block`, without dropout."""
    tables = dict(block.tables)
    with autocast:
        if slides is not None:
            wanted = mark_rows(block.rows, slides[0].ranges.shape[1]).any(axis=0)
            pooled = CachedPool(network.pool, *slides, wanted=wanted).pooled
            rows = torch.from_numpy(block.rows).to(pooled.device).clamp_min(0)
            tables["slides"] = gather_rows(pooled.detach(), rows)
        if rois is not None:
            tables["rois"] = CachedPictures(network.images, rois[0], block.rows).table(block.rows, rois[1])
        return network(tables, block.present)


def predictions(
    network: FusionNetwork, data: Data, networks: Sequence[Member], ids: pd.Index, settings: ModelSettings
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the rows of predictions.tsv, and each network's mean training log-hazard [K].

    Every log-hazard is relative to the mean of its network's own training patients, which the partial likelihood
    leaves open: that puts the networks of a fold on one scale.
    """
    autocast = torch.autocast("cpu", enabled=False)
    blocks = (data.train, data.left_out, data.test)
    outputs = [predict(network, each, autocast, data.slides, data.rois) for each in blocks]
    values = [each.log_hazard.double().cpu().numpy() for each in outputs]
    centre = np.array([v[rows >= 0].mean() for v, rows in zip(values[0], data.train.rows, strict=True)])
    train, inner, test = (each - centre[:, None] for each in values)
    parts = []
    for k, member in enumerate(networks):
        if member.inner:
            roles = [("inner", data.left_out.rows[k], inner[k])]
        else:
            mates = [i for i, each in enumerate(networks) if (each.fold, each.seed) == (member.fold, member.seed)]
            judges = mates if settings.predictor == "ensemble" else [k]
            roles = [("train", data.train.rows[k], train[k]), ("test", data.test.rows[k], test[judges].mean(axis=0))]
        for role, rows, log_hazard in roles:
            real = rows >= 0
            parts.append(
                pd.DataFrame(
                    {
                        "fold": member.fold,
                        "seed": member.seed,
                        "patient_id": ids[rows[real]],
                        "role": role,
                        "log_hazard": log_hazard[real],
                    }
                )
            )
    return pd.concat(parts, ignore_index=True), centre


def mini_batches(data: Data, seeds: Sequence[int], epoch: int, batches: int) -> list[Tensor]:
    """Return the columns of `data.train` in each mini-batch of an epoch, [K, size] each, -1 for padding.

    Every batch gets its share of the events: the events of a network, and the others, are shuffled and laid out evenly.
    """
    size = -(-data.train.rows.shape[1] // batches)
    out = np.full((batches, len(seeds), size), -1)
    for k, (rows, seed) in enumerate(zip(data.train.rows, seeds, strict=True)):
        rng = np.random.Generator(np.random.SFC64([seed, epoch, 3]))
        event = data.event[rows[rows >= 0]]
        place = np.empty(len(event))
        for same in (np.flatnonzero(event), np.flatnonzero(~event)):
            place[rng.permutation(same)] = (np.arange(len(same)) + rng.random()) / max(len(same), 1)
        for batch, members in enumerate(np.array_split(np.argsort(place, kind="stable"), batches)):
            out[batch, k, : len(members)] = members
    return list(torch.from_numpy(out))


def _mini_step(trainer: Trainer, data: Data, index: Tensor, epoch: int) -> StepResult:
    batch = data.train.take(index)
    time, event, mask = data.outcome(batch.rows)
    return trainer.step(batch, RiskSets.build(time, event, mask=mask).to(index.device), epoch)


def _note_training(
    history: History,
    epoch: int,
    results: Sequence[StepResult],
    order: Sequence[Tensor] | None,
    watch: Watch,
    active: np.ndarray,
) -> None:
    """Note the means over an epoch's steps, the sum of their update lengths, and the C-index in training."""
    history.add(epoch, "loss", {WHOLE: torch.stack([each.loss for each in results]).mean(0)}, active)
    if len(results[0].rho) > 1:
        for quantity, name in (("rho", "rho"), ("coefficient", "coefficients"), ("update_norm", "update")):
            each = [getattr(result, name) for result in results]
            values = {branch: torch.stack([one[branch] for one in each]) for branch in each[0]}  # [steps, K]
            totals = {b: v.sum(0) if quantity == "update_norm" else v.mean(0) for b, v in values.items()}
            history.add(epoch, quantity, totals, active)
    whole = torch.from_numpy(watch.whole)
    for branch in results[0].log_hazards:
        values = results[0].log_hazards[branch]
        if order is not None:
            values = _in_place(watch.data.train, order, [each.log_hazards[branch] for each in results])
        c = np.full(len(active), np.nan)
        c[watch.whole] = concordance(values[whole.to(values.device)], watch.train_pairs)
        history.add(epoch, "c_train", {branch: c}, active)


def _in_place(train: Block, order: Sequence[Tensor], values: Sequence[Tensor]) -> Tensor:
    """Return the log-hazards of all mini-batches in the columns of the training block, [K, n]."""
    index = torch.cat(list(order), dim=1).to(values[0].device)
    n = train.rows.shape[1]
    out = values[0].new_zeros(len(index), n + 1)  # padding goes to the last column
    out.scatter_(1, torch.where(index < 0, n, index), torch.cat(list(values), dim=1))
    return out[:, :n]
