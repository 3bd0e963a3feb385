"""Order, ties and risk sets of survival times as plain arrays."""

from __future__ import annotations

import numpy as np


def arrange(time: np.ndarray, event: np.ndarray, mask: np.ndarray | None) -> dict[str, np.ndarray | None]:
    """Return the arrays of ``risk_sets.RiskSets`` that describe order, ties and events.

    Parameters
    ----------
    time, event
        [rows, m], a cohort or a stratum a row.
    mask
        [rows, m], False for padding; None if there is none.
    """
    rows, m = time.shape
    key = -time if mask is None else np.where(mask, -time, np.inf)
    order = np.argsort(key, axis=1)
    flat = (order + np.arange(0, rows * m, m)[:, None]).ravel()
    key, dies = key.ravel()[flat].reshape(rows, m), event.ravel()[flat].reshape(rows, m)
    # first and last place of everyone who shares a place's time
    edge = np.ones((rows, m + 1), bool)
    np.not_equal(key[:, 1:], key[:, :-1], out=edge[:, 1:-1])
    place = np.arange(m)
    first = np.maximum.accumulate(place * edge[:, :-1], axis=1)
    last = np.minimum.accumulate(np.where(edge[:, 1:], place, m)[:, ::-1], axis=1)[:, ::-1]

    row, backwards = np.nonzero(dies[:, ::-1])  # events by rising time, row after row
    at = row * m + (m - 1 - backwards)
    counts = dies.sum(axis=1)
    starts = np.cumsum(counts) - counts
    number = np.arange(len(row))
    slot = number - starts[row]
    # an event opens a group unless the one before has the same time in the same row
    first_at = first.ravel()[at]
    opens = np.ones(len(row) + 1, bool)
    opens[1:-1] = (first_at[1:] != first_at[:-1]) | (row[1:] != row[:-1])
    opening = np.flatnonzero(opens)  # one more than there are groups
    group = np.cumsum(opens[:-1]) - 1
    # events at or before a place: all of the row's but those at strictly later times
    later = np.cumsum(dies, axis=1)
    later = np.where(first > 0, later.ravel()[first + (np.arange(0, rows * m, m)[:, None] - 1)], 0)
    events_until = np.empty(rows * m, np.int64)
    events_until[flat] = (counts[:, None] - later).ravel()

    most = int(counts.max(initial=0))
    full = bool((counts == most).all())

    def padded(values: np.ndarray) -> np.ndarray:
        if full:
            return values.reshape(rows, most)
        table = np.zeros((rows, most), values.dtype)
        table[row, slot] = values
        return table

    return {
        "order": order,
        "events_until": events_until.reshape(rows, m),
        "event": event.astype(np.float64),
        "patient": padded(order.ravel()[at]),
        "last": padded(last.ravel()[at]),
        "group": padded(slot[opening[group]]),
        "rank": padded((number - opening[group]) / np.diff(opening)[group]),
        "real": None if full else np.arange(most) < counts[:, None],
    }
