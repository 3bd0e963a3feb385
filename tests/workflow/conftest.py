"""Runs that several test files look at."""

from pathlib import Path

import pytest

from tests.workflow.small import little_clone, small_clone
from tests.workflow.test_workflow import DEMO, copy_clone, snakemake


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which the demo has run to its end."""
    folder = copy_clone(tmp_path_factory.mktemp("workflow") / "clone")
    snakemake("--cores", "2", *DEMO, folder=folder)
    return folder


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which nothing has run."""
    return copy_clone(tmp_path_factory.mktemp("fresh") / "clone")


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which a small run has passed through every stage of the demo."""
    clone = small_clone(tmp_path_factory.mktemp("small") / "clone")
    snakemake("--cores", "2", folder=clone)
    return clone


@pytest.fixture(scope="session")
def little_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which the little run has ended. Tests leave it as it was."""
    clone = little_clone(tmp_path_factory.mktemp("little") / "clone")
    snakemake("--cores", "2", folder=clone)
    return clone
