"""Optimisers of stacked networks: elementwise, so that networks in one tensor do not know of each other.

Torch's functional forms do the arithmetic. Its optimiser classes would load the compiler on their first step, which
takes longer than training a small cohort does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from pathgptomic.survival.settings import TrainingSettings

MOMENTUM = 0.9  # of sgd
BETAS, EPSILON = (0.9, 0.999), 1e-8  # of adamw


def make_optimiser(parameters: Sequence[Tensor], settings: TrainingSettings, rate: float) -> Callable[[], None]:
    """Return a function that moves `parameters` by one step along their ``grad``, at the learning rate `rate`.

    AdamW decouples weight decay from the gradient (Loshchilov and Hutter, ICLR 2019); SGD adds it to the gradient.
    """
    decay = settings.weight_decay
    if settings.optimiser == "sgd":
        momentum: list[Tensor | None] = [None for _ in parameters]

        @torch.no_grad()
        def step() -> None:
            gradients = [each.grad for each in parameters]
            sgd(
                list(parameters), gradients, momentum, foreach=True, weight_decay=decay, momentum=MOMENTUM, lr=rate,
                dampening=0.0, nesterov=False, maximize=False,
            )  # fmt: skip

        return step

    first, second = ([torch.zeros_like(each) for each in parameters] for _ in range(2))
    count = [torch.zeros((), device=each.device) for each in parameters]

    @torch.no_grad()
    def step() -> None:
        gradients = [each.grad for each in parameters]
        adamw(
            list(parameters), gradients, first, second, [], count, foreach=False, fused=True, amsgrad=False,
            beta1=BETAS[0], beta2=BETAS[1], lr=rate, weight_decay=decay, eps=EPSILON, maximize=False,
        )  # fmt: skip

    return step
