"""Costs as Slurm accounts for them."""

import pytest

from pathgptomic.operations.cost import read_accounts

# JobIDRaw|ElapsedRaw|CPUTimeRAW|AllocTRES|MaxRSS
SACCT = """\
11|3600|14400|billing=4,cpu=4,gres/gpu=2,mem=8000M,node=1|
11.batch|3600|14400|cpu=4,mem=8000M,node=1|2097152K
11.0|3500|14000|cpu=4,mem=8000M,node=1|512M
12|0|0||
"""


def test_accounts_are_hours_and_megabytes():
    found = read_accounts(SACCT)
    assert found["11"] == pytest.approx({"hours": 1, "core_hours": 4, "gpu_hours": 2, "peak_mb": 2048})
    assert found["12"] == {"hours": 0, "core_hours": 0, "gpu_hours": 0}
