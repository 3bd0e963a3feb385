"""The slides of OpenSlide's own test suite, out of the source distribution of its Python package."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import openslide
import pytest

from pathgptomic.slides.reader import Slide, SlideError
from pathgptomic.slides.resolution import resolution
from pathgptomic.slides.survey import TileSettings, survey


@pytest.fixture(scope="module")
def fixtures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fetch the source distribution of the installed version, or skip where no package index is reached."""
    folder = tmp_path_factory.mktemp("openslide")
    package = f"openslide-python=={version('openslide-python')}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", package, "-d", str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    archives = list(folder.glob("*.tar.gz"))
    if run.returncode or not archives:
        pytest.skip(f"the package index does not give the source of {package}")
    # tarfile has its safe filter only from Python 3.11.4 on
    subprocess.run(["tar", "-xzf", archives[0], "-C", folder], check=True)
    return next(folder.glob("*/tests/fixtures"))


def test_a_slide_of_sixteen_pixels_is_read_as_openslide_reads_it(fixtures: Path):
    with Slide(fixtures / "small.svs") as slide, openslide.OpenSlide(fixtures / "small.svs") as handle:
        assert slide.vendor == "aperio"
        assert resolution(slide).source == "metadata"
        assert resolution(slide).mpp == pytest.approx(0.499)
        expected = np.asarray(handle.read_region((0, 0), 0, (16, 16)).convert("RGB"))
        assert np.array_equal(slide.read(0, 0, 0, 16, 16), expected)
        # too small for a single tile
        assert not len(survey(slide, TileSettings(224, 224, 0.5)).grid)


def test_a_slide_that_openslide_cannot_read_is_refused_with_the_reason(fixtures: Path):
    with pytest.raises(SlideError, match=r"unreadable\.svs"), Slide(fixtures / "unreadable.svs") as slide:
        survey(slide, TileSettings(16, 16, 0.5))


def test_every_other_fixture_is_refused_or_read_without_a_crash(fixtures: Path):
    paths, said = sorted(path for path in fixtures.iterdir() if path.is_file()), []
    for path in paths:
        try:
            with Slide(path) as slide:
                pixels = slide.read(0, 0, 0, 8, 8)
            assert pixels.shape == (8, 8, 3)
        except SlideError as error:
            said.append(str(error))
            continue
        said.append(path.name)
    assert len(said) > 3
    assert all(path.name in words for path, words in zip(paths, said, strict=True))
