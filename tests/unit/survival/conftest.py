"""Fixtures of the survival stage's tests."""

from pathlib import Path

import pytest
import torch

from tests.unit.survival.synthetic import make_cohort


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def cohort(tmp_path_factory) -> dict[str, str]:
    """Return the paths of a complete cohort."""
    return make_cohort(Path(tmp_path_factory.mktemp("complete")))


@pytest.fixture(scope="session")
def masked_cohort(tmp_path_factory) -> dict[str, str]:
    """Return the paths of a cohort in which many patients lack something."""
    lacking = {"slides": 0.3, "expression": 0.2, "cnv": 0.2, "mutations": 0.2}
    return make_cohort(Path(tmp_path_factory.mktemp("masked")), lacking=lacking, seed=2)
