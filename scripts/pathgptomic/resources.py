"""Resources of a rule as functions of the attempt, so that a job that ran out of memory or time gets more of it."""

from collections.abc import Callable
from typing import Any

Resource = Callable[..., int]


def mem_gb(gigabytes: float) -> Resource:
    """Return memory in MB: `gigabytes`, doubled with every further attempt."""
    return _growing(round(1000 * gigabytes))


def minutes(count: float) -> Resource:
    """Return run time in minutes: `count`, doubled with every further attempt."""
    return _growing(round(count))


def hours(count: float) -> Resource:
    """Return run time in minutes: `count` hours, doubled with every further attempt."""
    return _growing(round(60 * count))


def gpu_request(device: str, dialect: str) -> dict[str, int | str]:
    """Return the resources by which a rule asks for its one GPU; nothing unless `device` insists on one.

    Parameters
    ----------
    device
        ``auto``, ``cpu`` or ``cuda``.
    dialect
        ``gpu`` for sites that take ``sbatch --gpus=1``, ``gres`` for those that take ``sbatch --gres=gpu:1``.
    """
    if device != "cuda":
        return {}
    return {"gpu": 1} if dialect == "gpu" else {"gres": "gpu:1"}


def network_request(transfer: str) -> dict[str, int | str]:
    """Return the resources of a rule that uses the network, of which a profile lets only a few run at a time.

    Parameters
    ----------
    transfer
        Name of a Slurm partition for data transfer; empty or ``local`` for none.
    """
    return {"network": 1} | ({"slurm_partition": transfer} if transfer not in ("", "local") else {})


def _growing(amount: int) -> Resource:
    def resource(wildcards: Any, attempt: int) -> int:
        return amount * 2 ** (attempt - 1)

    return resource
