"""Who is at risk at each death: all of the Cox partial likelihood that depends on time and event alone."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from pathgptomic.survival.risk_arrays import arrange


@dataclass(frozen=True)
class RiskSets:
    """Risk sets of K cohorts of up to n patients each.

    R rows of m places: the K cohorts, or every stratum of every cohort where there are strata. E is the largest number
    of events in a row.

    Attributes
    ----------
    shape
        (K, n), the shape of the log-hazards.
    order
        [R, m] patients by falling time, padding last.
    events_until
        [R, m] number of events at or before each patient's time.
    event
        [R, m] 1.0 where the death was observed.
    patient, last, group, rank
        [R, E] of each event by rising time: its patient; the place in `order` of the last patient at risk; the first
        event of the same time; its place among those, from 0, over their number (Efron).
    real
        [R, E] which of these are events and not padding; None if all are.
    mask
        [R, m] who is a patient and not padding; None if all are.
    scale
        [R] 1 / events of the row's cohort (1 if there is none).
    index, cohort
        [R, m] place in the flattened log-hazards and [R] cohort of each row; None without strata.
    tied
        Whether any two deaths of a row share a time; if none do, Efron is Breslow.
    """

    shape: tuple[int, int]
    order: Tensor
    events_until: Tensor
    event: Tensor
    patient: Tensor
    last: Tensor
    group: Tensor
    rank: Tensor
    real: Tensor | None
    mask: Tensor | None
    scale: Tensor
    index: Tensor | None
    cohort: Tensor | None
    tied: bool

    @classmethod
    def build(cls, time, event, *, strata=None, mask=None) -> RiskSets:
        """Work out the risk sets, on the CPU.

        Parameters
        ----------
        time
            Follow-up, [K, n] or [n], any unit, tensor or array. Ties are exact equality.
        event
            True where the death was observed, same shape.
        strata
            Labels, same shape: patients with different labels are never compared.
        mask
            True where there is a patient, same shape; padding is never at risk.

        Raises
        ------
        ValueError
            If shapes differ, a patient's time is not finite, or an event is neither 0 nor 1.
        """
        time, event, strata, mask = (None if x is None else _two_dimensional(x) for x in (time, event, strata, mask))
        _check(time, event, strata, mask)
        shape = time.shape
        event = event.astype(bool, copy=False)
        if mask is not None:
            mask = mask.astype(bool, copy=False)
            event, mask = event & mask, None if mask.all() else mask
        events = event.sum(axis=1)
        index = cohort = None
        if strata is not None:
            index, cohort, mask = _by_stratum(strata, mask)
            time, event, events = time.ravel()[index], event.ravel()[index] & mask, events[cohort]
        arrays = arrange(time.astype(np.float64, copy=False), event, mask)
        arrays |= {"mask": mask, "index": index, "cohort": cohort, "scale": 1.0 / np.maximum(events, 1)}
        tensors = {name: None if each is None else torch.from_numpy(each) for name, each in arrays.items()}
        return cls(shape=shape, tied=bool(arrays["rank"].any()), **tensors)

    def to(self, device: str | torch.device) -> RiskSets:
        """Return the same risk sets on `device`."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return replace(self, **{name: each.to(device) for name, each in values.items() if isinstance(each, Tensor)})


def _by_stratum(strata: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, a row for each stratum of each cohort, the flat indices of its patients, its cohort, and what is real."""
    k, n = strata.shape
    codes = np.unique(strata, return_inverse=True)[1].reshape(k, n)
    label = np.arange(k)[:, None] * (codes.max(initial=0) + 1) + codes
    flat = np.arange(k * n) if mask is None else np.flatnonzero(mask)
    flat = flat[np.argsort(label.ravel()[flat], kind="stable")]
    _, start, size = np.unique(label.ravel()[flat], return_index=True, return_counts=True)
    column = np.arange(size.max(initial=0))
    real = column < size[:, None]
    index = flat[np.where(real, start[:, None] + column, 0)]
    return index, index[:, 0] // n, real


def _two_dimensional(values) -> np.ndarray:
    return np.atleast_2d(values.cpu().numpy() if isinstance(values, Tensor) else np.asarray(values))


def _check(time: np.ndarray, event: np.ndarray, strata: np.ndarray | None, mask: np.ndarray | None) -> None:
    for name, other in (("event", event), ("strata", strata), ("mask", mask)):
        if other is not None and other.shape != time.shape:
            raise ValueError(
                f"{name} has the shape {other.shape}, time {time.shape}: give one value a patient for both"
            )
    finite = np.isfinite(time) if mask is None else np.isfinite(time) | ~mask.astype(bool)
    if not finite.all():
        raise ValueError(f"{np.sum(~finite)} times are not finite, for example {time[~finite][0]}: drop these patients")
    if event.dtype != bool and not ((event == 0) | (event == 1)).all():
        wrong = event[(event != 0) & (event != 1)][0]
        raise ValueError(f"an event is {wrong}: use True (or 1) where the death was observed, otherwise False (or 0)")
