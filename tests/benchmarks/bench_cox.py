"""Cox loss, forward and backward: ours against torchsurv and pycox on the same patients.

The reference is the faster of the two. Times of a training cohort are fixed, so ours works the risk sets out once and
the loss of a step starts from them, as training does; the time with the risk sets built anew each step stands in the
conditions. Both references start from times and events each step: their interfaces know no other way.
"""

import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch

from pathgptomic.survival.cox import cox_loss
from pathgptomic.survival.risk_sets import RiskSets
from tests.oracles import torchsurv_cox

ROUNDS = {100: 400, 1_000: 300, 10_000: 60, 100_000: 15}


def rows() -> list[dict]:
    """Return one row a cohort size."""
    from pycox.models.loss import cox_ph_loss

    neg_partial_log_likelihood = torchsurv_cox().neg_partial_log_likelihood

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [_row(n, cox_ph_loss, neg_partial_log_likelihood) for n in ROUNDS]
    finally:
        torch.set_num_threads(threads)


def _row(n: int, pycox: Callable, torchsurv: Callable) -> dict:
    rng = np.random.default_rng(n)
    log_hazard = torch.from_numpy(rng.normal(size=n).astype(np.float32))
    days = torch.from_numpy(np.ceil(rng.exponential(1000, n)).astype(np.float32))  # days, so some deaths are tied
    event = torch.from_numpy(rng.random(n) < 0.3)
    as_number = event.float()
    sets = RiskSets.build(days, event)

    def build_and_loss(h: torch.Tensor) -> torch.Tensor:
        return cox_loss(h, RiskSets.build(days, event))

    def with_torchsurv(ties: str) -> Callable:
        return lambda h: torchsurv(h[0], event, days, ties_method=ties, reduction="sum")

    losses = {
        "ours": lambda h: cox_loss(h, sets),
        "with risk sets": build_and_loss,
        "pycox": lambda h: pycox(h[0], days, as_number),
        "torchsurv efron": with_torchsurv("efron"),
        "torchsurv breslow": with_torchsurv("breslow"),
    }
    with warnings.catch_warnings(action="ignore"):  # torchsurv warns of ties at each call
        taken = _interleaved(losses, log_hazard[None], ROUNDS[n])
    milliseconds = {name: 1e3 * statistics.median(values) for name, values in taken.items()}
    references = {name: milliseconds[name] for name in losses if name not in ("ours", "with risk sets")}
    best = min(references, key=references.get)
    every = ", ".join(f"{name} {value:.3g}" for name, value in references.items())
    return {
        "name": f"cox_1e{len(str(n)) - 1}",
        "ours": milliseconds["ours"],
        "reference": references[best],
        "ratio": statistics.median(b / a for a, b in zip(taken["ours"], taken[best], strict=True)),
        "goal": 1.0,
        "unit": "ms",
        "conditions": (
            f"n {n}, 30% events, whole days, float32, forward + backward, one thread, medians of {ROUNDS[n]} "
            f"interleaved rounds, ratio within rounds; ours: Efron, float64 inside, risk sets built before; building "
            f"them each step: {milliseconds['with risk sets']:.3g} ms; reference {best} ({every}); pycox is inexact "
            f"under ties"
        ),
    }


def _interleaved(losses: dict[str, Callable], log_hazard: torch.Tensor, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each loss in each round; a round runs all of them, so that other load meets all alike."""
    taken: dict[str, list[float]] = {name: [] for name in losses}
    for number in range(rounds + 3):
        for name, loss in losses.items():
            h = log_hazard.clone().requires_grad_()
            start = time.perf_counter()
            loss(h).backward()
            if number >= 3:  # the first rounds warm up
                taken[name].append(time.perf_counter() - start)
    return taken
