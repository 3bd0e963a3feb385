"""What can be said of the guard on Slurm jobs without a cluster; the rest is in tests/cluster."""

import pytest

from pathgptomic.resources import gpu_request
from pathgptomic.slurm import Job, stuck


@pytest.mark.parametrize(
    ("reason", "hopeless"),
    [
        ("PartitionConfig", True),
        ("PartitionTimeLimit", True),
        ("BadConstraints", True),
        ("InvalidAccount", True),
        ("QOSMaxMemoryPerJob", True),
        ("AssocMaxWallDurationPerJobLimit", True),
        ("Resources", False),
        ("Priority", False),
        ("QOSMaxJobsPerUserLimit", False),
        ("AssocGrpCpuLimit", False),
        ("ReqNodeNotAvail, UnavailableNodes:gpu1", False),
        ("JobHeldUser", False),
    ],
)
def test_only_reasons_that_waiting_does_not_change_are_hopeless(reason: str, hopeless: bool):
    assert stuck(Job("1", "PENDING", reason, "rule_train_model")) is hopeless


@pytest.mark.parametrize(
    ("device", "dialect", "resources"),
    [
        ("auto", "gpu", {}),
        ("cpu", "gres", {}),
        ("cuda", "gpu", {"gpu": 1}),
        ("cuda", "gres", {"gres": "gpu:1"}),
    ],
)
def test_a_gpu_is_asked_for_in_the_dialect_of_the_site(device: str, dialect: str, resources: dict):
    assert gpu_request(device, dialect) == resources
