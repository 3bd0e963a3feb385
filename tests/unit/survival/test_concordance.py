import numpy as np
import pytest
import torch
from lifelines.utils import concordance_index

from pathgptomic.survival.concordance import Pairs, concordance

CPU = torch.device("cpu")


def test_curves_of_training_are_the_c_index_of_lifelines():
    rng = np.random.default_rng(0)
    time, event = rng.integers(1, 30, (3, 40)).astype(float), rng.random((3, 40)) < 0.5
    mask = rng.random((3, 40)) < 0.8
    score = rng.integers(0, 9, (3, 40)).astype(np.float32)
    found = concordance(torch.from_numpy(score), Pairs.build(time, event, mask, CPU))
    for k in range(3):
        who = mask[k]
        assert found[k] == pytest.approx(concordance_index(time[k, who], -score[k, who], event[k, who]), abs=1e-9)
    nobody = Pairs.build(time, np.zeros((3, 40), bool), mask, CPU)
    assert np.isnan(concordance(torch.from_numpy(score), nobody)).all()
