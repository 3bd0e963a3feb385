"""Slides that the tests of this folder share; each is written once."""

from pathlib import Path

import pytest

from pathgptomic.slides.scene import Scene
from pathgptomic.slides.synthetic import CODECS, write_slide


@pytest.fixture(scope="session")
def slides(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A slide of each codec, a plain TIFF of odd size, and one of 20x."""
    folder = tmp_path_factory.mktemp("slides")
    made = {}
    for codec in CODECS:
        made[codec] = folder / f"{codec}.svs"
        write_slide(made[codec], width=2100, height=1700, codec=codec, seed=1)
    made["generic"] = folder / "generic.tif"
    write_slide(made["generic"], width=1531, height=1249, layout="generic", seed=2)
    made["20x"] = folder / "20x.svs"
    write_slide(made["20x"], width=1200, height=900, mpp=0.5, seed=3, levels=(4,))
    return made


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Scene]:
    """A slide with room for every class of the scene, and its truth."""
    path = tmp_path_factory.mktemp("large") / "large.svs"
    return path, write_slide(path, width=8192, height=6144, codec="jpeg-420", seed=7, density=3000)
