"""Gated attention over the instances of slides, for K stacked networks, in parts that fit in memory.

The instances of all patients may be far larger than memory. The pooled vector of every patient is therefore made part
by part without a graph; the loss gives its gradient; a second pass makes each part again with a graph and hands it its
share of that gradient (gradient caching). The result is the gradient of the whole, the memory that of one part. Where
all patients fit in one part, its graph is kept and the second pass saved.

References
----------
Attention pooling: Ilse et al., ICML 2018, eq. (9). Gradient caching: Gao et al., RepL4NLP 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from pathgptomic.cohort.bags import EVERY_FOLD, Bags
from pathgptomic.survival.layers import Linear

PART_ELEMENTS = 10_000_000  # activations of one layer of one part: 40 MB in single precision


class AttentionPool(nn.Module):
    """Instance embedding, gated attention, weighted sum: [F, b, m, d] instances -> [K, b, width]."""

    def __init__(self, networks: int, inputs: int, width: int) -> None:
        super().__init__()
        self.embed = Linear(networks, inputs, width)
        self.value, self.gate = Linear(networks, width, width), Linear(networks, width, width)
        self.score = Linear(networks, width, 1, bias=False)
        self.width = width

    def forward(self, part: Part, scale: Scale, keep: Tensor | None = None) -> Tensor:
        """Return the pooled vectors.

        Parameters
        ----------
        part
            Instances of some patients.
        scale
            Each network's standardisation of instances, folded into its first layer.
        keep
            Dropout factors [K, b, width], one mask a patient for all instances, or None.
        """
        embedded = torch.relu(self._embed(part, scale))  # [K, b, m, width]
        if keep is not None:
            embedded = embedded * keep.unsqueeze(2)
        weights = self._weights(embedded, part)
        return (weights.unsqueeze(-1) * embedded).sum(2)

    def attention(self, part: Part, scale: Scale) -> Tensor:
        """Return the weight of each instance, [K, b, m], summing to 1 over the instances of a patient."""
        return self._weights(torch.relu(self._embed(part, scale)), part)

    def _embed(self, part: Part, scale: Scale) -> Tensor:
        weight = self.embed.weight / scale.sd.unsqueeze(-1)
        bias = self.embed.bias - torch.bmm((scale.mean / scale.sd).unsqueeze(1), self.embed.weight)
        folds, b, m, d = part.instances.shape
        if folds == 1:  # the same instances for all networks: one product instead of K
            flat = part.instances.view(b * m, d) @ weight.permute(1, 0, 2).reshape(d, -1)
            out = flat.view(b * m, -1, self.width).transpose(0, 1)
        else:
            out = torch.bmm(part.instances[part.fold_of].view(-1, b * m, d), weight)
        return (out + bias).reshape(-1, b, m, self.width)

    def _weights(self, embedded: Tensor, part: Part) -> Tensor:
        flat = embedded.flatten(1, 2)
        gated = torch.tanh(self.value(flat)) * torch.sigmoid(self.gate(flat))
        score = self.score(gated).view(embedded.shape[:3])
        valid = part.valid[part.fold_of] if len(part.valid) > 1 else part.valid
        return torch.softmax(score.masked_fill(~valid, -1e30), dim=-1)


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of instances over each network's training patients, [K, d]; patients count alike."""

    mean: Tensor
    sd: Tensor


@dataclass(frozen=True)
class Part:
    """Instances of some patients.

    Attributes
    ----------
    patients
        Positions in the cohort, (b,).
    instances, valid
        [F, b, m, d] and bool [F, b, m]; F is 1 where the instances are the same in every fold.
    fold_of
        [K] which of the F folds each network belongs to.
    """

    patients: np.ndarray
    instances: Tensor
    valid: Tensor
    fold_of: Tensor


class Instances:
    """The bags of a cohort as K networks see them, cut into parts of patients with bags of similar size.

    Parameters
    ----------
    bags, patient_ids
        The bags, and the cohort's patients in order.
    folds
        [K] fold of each network.
    width
        Width of the widest layer, which decides how many patients make a part.
    device
        Where parts are put.
    """

    def __init__(
        self, bags: Bags, patient_ids: Sequence[str], folds: Sequence[int], width: int, device: torch.device
    ) -> None:
        self.bags, self.device = bags, device
        self.distinct = sorted(set(folds)) if bags.per_fold else [EVERY_FOLD]
        self.ranges = np.stack([bags.for_fold(fold, patient_ids) for fold in self.distinct])  # [F, N, 2]
        place = {fold: i for i, fold in enumerate(self.distinct)}
        self.fold_of = torch.tensor([place[fold] if bags.per_fold else 0 for fold in folds], device=device)
        sizes = (self.ranges[..., 1] - self.ranges[..., 0]).max(axis=0)
        an_instance = max(len(folds) * width, len(self.distinct) * bags.rows.shape[1])  # its activations, or itself
        self.cut = _cut(sizes, max(PART_ELEMENTS // an_instance, 1))
        self._kept = [self._load(each) for each in self.cut] if len(self.cut) == 1 else None

    def parts(self, wanted: np.ndarray | None = None):
        """Yield the parts; only those with a patient for whom `wanted` (bool [N]) is true, if it is given."""
        if self._kept is not None:
            yield from self._kept
            return
        for each in self.cut:
            if wanted is None or wanted[each].any():
                yield self._load(each)

    def scale(self, rows: Sequence[np.ndarray]) -> Scale:
        """Return each network's standardisation, fitted on its own training patients `rows[k]`."""
        d = self.bags.rows.shape[1]
        first, second = np.zeros((2, *self.ranges.shape[:2], d))
        for at in np.ndindex(*self.ranges.shape[:2]):
            start, stop = self.ranges[at]
            if stop > start:
                values = self.bags.rows[start:stop].astype(np.float64)
                first[at], second[at] = values.mean(axis=0), (values**2).mean(axis=0)
        seen = self.ranges[..., 1] > self.ranges[..., 0]
        mean, sd = np.zeros((2, len(rows), d))
        for k, (fold, fitted) in enumerate(zip(self.fold_of.tolist(), rows, strict=True)):
            fitted = fitted[seen[fold, fitted]]
            mean[k] = first[fold, fitted].mean(axis=0)
            sd[k] = np.sqrt(np.maximum(second[fold, fitted].mean(axis=0) - mean[k] ** 2, 0))
        sd[sd < 1e-6] = 1.0
        return Scale(*(torch.tensor(each, dtype=torch.float32, device=self.device) for each in (mean, sd)))

    def _load(self, patients: np.ndarray) -> Part:
        ranges = self.ranges[:, patients]
        sizes = ranges[..., 1] - ranges[..., 0]
        instances = np.zeros((*sizes.shape, max(int(sizes.max()), 1), self.bags.rows.shape[1]), np.float32)
        for at in np.ndindex(*sizes.shape):
            instances[at][: sizes[at]] = self.bags.rows[ranges[at][0] : ranges[at][1]]
        valid = np.arange(instances.shape[2]) < sizes[..., None]
        tensors = (torch.from_numpy(each).to(self.device) for each in (instances, valid))
        return Part(patients, *tensors, self.fold_of)


class CachedPool:
    """Pooled vectors [K, N, width] of all patients in one step, and the way their gradient takes back.

    Parameters
    ----------
    pool, instances, scale
        The module, the bags, the standardisation.
    keep
        Dropout factors [K, N, width] of the step, replayed in the second pass, or None.
    wanted
        Patients whose vectors are needed, bool [N]; None for all.
    """

    def __init__(
        self,
        pool: AttentionPool,
        instances: Instances,
        scale: Scale,
        keep: Tensor | None = None,
        wanted: np.ndarray | None = None,
    ) -> None:
        self.pool, self.instances, self.scale, self.keep = pool, instances, scale, keep
        self.graph: Tensor | None = None
        shape = (pool.embed.weight.shape[0], instances.ranges.shape[1], pool.width)
        pooled = torch.zeros(shape, device=instances.device)
        if len(instances.cut) == 1:
            (part,) = instances.parts()
            self.graph = self._forward(part)
            pooled[:, part.patients] = self.graph.detach()
        else:
            with torch.no_grad():
                for part in instances.parts(wanted):
                    pooled[:, part.patients] = self._forward(part)
        self.pooled = pooled.requires_grad_()

    def backward(self, gradient: Tensor) -> list[Tensor]:
        """Return the gradients of the pool's parameters, given that of `pooled`."""
        parameters = list(self.pool.parameters())
        if self.graph is not None:
            (part,) = self.instances.parts()
            return list(torch.autograd.grad(self.graph, parameters, gradient[:, part.patients], retain_graph=True))
        total = [torch.zeros_like(each) for each in parameters]
        wanted = gradient.abs().amax((0, 2)).gt(0).cpu().numpy()
        for part in self.instances.parts(wanted):
            pooled = self._forward(part)
            of_part = torch.autograd.grad(pooled, parameters, gradient[:, part.patients])
            for sum_, each in zip(total, of_part, strict=True):
                sum_ += each
        return total

    def _forward(self, part: Part) -> Tensor:
        keep = None if self.keep is None else self.keep[:, part.patients]
        return self.pool(part, self.scale, keep).float()


def _cut(sizes: np.ndarray, most: int) -> list[np.ndarray]:
    """Return groups of patients, each of at most `most` padded instances or a single patient."""
    groups: list[list[int]] = []
    for patient in np.argsort(-sizes, kind="stable"):
        # the first patient of a group has its largest bag, to which the others are padded
        if not groups or (len(groups[-1]) + 1) * max(int(sizes[groups[-1][0]]), 1) > most:
            groups.append([])
        groups[-1].append(int(patient))
    return [np.sort(np.array(group)) for group in groups]
