"""Act on the parameters of a branch as a balance strategy decided; all tensors are [K, ...], K stacked networks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


@torch.no_grad()
def scale_step(
    parameters: Sequence[Tensor],
    previous: Sequence[Tensor],
    coefficient: Tensor,
    *,
    decay: Sequence[float] | None = None,
) -> None:
    """Let parameters go only the `coefficient`-th part of the way that the optimiser took them.

    Call it after ``optimizer.step()``. Scaling the gradient before the step does nothing under Adam, which divides by
    the gradient's own size; scaling the step is what eqs. (7)-(8) of Path-GPTOmic print, whatever the optimiser.

    Parameters
    ----------
    parameters
        As the optimiser left them, changed in place.
    previous
        Copies from before the step.
    coefficient
        [K]; 1 leaves a network exactly as it is, 0 puts it exactly back.
    decay
        Of each parameter, learning rate times decoupled weight decay (AdamW), where decay shall act in full whatever
        the coefficient (``apply_to: update``). Without it decay is part of the step and scaled with it
        (``apply_to: lr``): a branch that is held back neither learns nor forgets.
    """
    for parameter, old, own_decay in zip(parameters, previous, decay or [0.0] * len(parameters), strict=True):
        factor = _expand(coefficient, parameter)
        parameter.copy_(torch.lerp(old, parameter, factor))
        if own_decay:
            parameter.sub_((1 - factor) * own_decay * old)


@torch.no_grad()
def scale_gradient(parameters: Sequence[Tensor], coefficient: Tensor) -> None:
    """Multiply the gradients by `coefficient` [K] (``apply_to: grad``); parameters without one are passed over."""
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.mul_(_expand(coefficient, parameter))


@torch.no_grad()
def gradient_spread(parameters: Sequence[Tensor]) -> list[Tensor | None]:
    """Return the standard deviation [K] of each parameter's gradient in each network, for :func:`add_noise`."""
    return [
        None if parameter.grad is None else parameter.grad.flatten(1).std(dim=1, correction=0) + 1e-8
        for parameter in parameters
    ]


@torch.no_grad()
def add_noise(
    parameters: Sequence[Tensor], spread: Sequence[Tensor | None], generators: Sequence[torch.Generator]
) -> None:
    """Add Gaussian noise of `spread` to the gradients, each network from its own generator.

    The GE of OGM-GE: the spread is that of the gradient before any coefficient, so take it first.
    """
    for parameter, sd in zip(parameters, spread, strict=True):
        if sd is None:
            continue
        noise = torch.stack(
            [
                torch.randn(parameter.shape[1:], generator=generator, dtype=sd.dtype, device=sd.device)
                for generator in generators
            ]
        )
        parameter.grad.add_(noise * _expand(sd, parameter))


def _expand(per_network: Tensor, like: Tensor) -> Tensor:
    return per_network.to(like.dtype).view(-1, *[1] * (like.dim() - 1))
