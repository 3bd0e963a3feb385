"""Fixtures that every test folder shares."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the root of the clone."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real data, or skip the test where there is none."""
    folder = Path(os.environ.get("SHARED", ROOT.parent / "shared"))
    if not (folder / "data" / "tcga-kirc").is_dir():
        pytest.skip(f"no real data at {folder} (set SHARED)")
    return folder
