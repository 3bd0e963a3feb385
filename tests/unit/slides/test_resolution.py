"""Microns per pixel: where they come from, when a slide is skipped, which level is read."""

from pathlib import Path

import pytest

from pathgptomic.slides.reader import Level, Slide, SlideSkipped
from pathgptomic.slides.resolution import Resolution, choose_level, resolution
from pathgptomic.slides.synthetic import write_slide


class Stated:
    """What a slide's metadata say."""

    path = Path("case.svs")

    def __init__(self, **properties: str):
        self.properties = {f"openslide.{name.replace('_', '-')}": value for name, value in properties.items()}


@pytest.mark.parametrize(
    ("stated", "override", "expected"),
    [
        (Stated(mpp_x="0.2525", mpp_y="0.2525", objective_power="40"), None, Resolution(0.2525, "metadata")),
        (Stated(mpp_x="0.2525", mpp_y="0.2525"), 0.5, Resolution(0.5, "override")),
        (Stated(objective_power="20"), None, Resolution(0.5, "power")),
        # 72 dpi is a screen, not a microscope
        (Stated(mpp_x="352.8", mpp_y="352.8", objective_power="40"), None, Resolution(0.25, "power")),
        (Stated(mpp_x="0", mpp_y="0", objective_power="40"), None, Resolution(0.25, "power")),
        (Stated(mpp_x="nan", mpp_y="x", objective_power="40"), None, Resolution(0.25, "power")),
    ],
)
def test_the_order_of_sources(stated, override, expected):
    found = resolution(stated, override)
    assert found.source == expected.source
    assert found.mpp == pytest.approx(expected.mpp)


@pytest.mark.parametrize(
    ("stated", "reason"),
    [
        (Stated(), "neither microns per pixel nor an objective power"),
        (Stated(objective_power="0"), "neither microns per pixel nor an objective power"),
        (Stated(mpp_x="0.25", mpp_y="0.30"), "0.25 x 0.3 microns"),
    ],
)
def test_nothing_is_guessed(stated, reason):
    with pytest.raises(SlideSkipped, match=reason):
        resolution(stated)


def test_a_file_without_mpp_is_read_by_its_power_and_one_without_both_is_skipped(tmp_path: Path):
    write_slide(tmp_path / "power.svs", width=600, height=600, state_mpp=False)
    write_slide(tmp_path / "none.svs", width=600, height=600, state_mpp=False, state_power=False)
    with Slide(tmp_path / "power.svs") as slide:
        assert resolution(slide) == Resolution(0.25, "power")
    with Slide(tmp_path / "none.svs") as slide, pytest.raises(SlideSkipped, match=r"none\.svs"):
        resolution(slide)


LEVELS = (Level(40000, 40000, 1.0), Level(10000, 10000, 4.0), Level(2500, 2500, 16.0))


@pytest.mark.parametrize(
    ("mpp", "wanted", "level"),
    [
        (0.25, 0.25, 0),
        (0.25, 0.5, 0),  # the next finer level, never a coarser one
        (0.25, 1.0, 1),
        (0.2525, 1.0, 1),  # 1 % coarser than wanted is as good as wanted
        (0.26, 1.0, 0),
        (0.25, 8.0, 2),
        (0.504, 0.5, 0),
    ],
)
def test_the_coarsest_level_that_is_fine_enough_is_read(mpp: float, wanted: float, level: int):
    assert choose_level(LEVELS, mpp, wanted) == level


def test_details_that_a_slide_does_not_have_are_refused():
    with pytest.raises(SlideSkipped, match="coarser than the 0.25 asked for"):
        choose_level(LEVELS, 0.5, 0.25)
