"""Microns per pixel of a slide, and the level to read for a wanted resolution. Never guessed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pathgptomic.slides.reader import Level, Slide, SlideSkipped

PLAUSIBLE_MPP = (0.05, 5.0)  # outside, the number is a unit error or a screen resolution (72 dpi is 353)
COARSER = 1.1  # a level up to this much coarser than wanted still serves: 20x slides state 0.4936 to 0.5040 and more
SQUARE = 1.02  # how far the two directions may differ


@dataclass(frozen=True)
class Resolution:
    """Microns per pixel of level 0 and where the number comes from: ``override``, ``metadata`` or ``power``."""

    mpp: float
    source: str


def resolution(slide: Slide, override: float | None = None) -> Resolution:
    """Return the resolution of a slide from an override, its metadata, or its objective power (10 / power).

    Raises
    ------
    SlideSkipped
        If nothing states it, or if its pixels are not square.
    """
    if override is not None:
        return Resolution(override, "override")
    stated = [_number(slide.properties.get(f"openslide.mpp-{axis}")) for axis in "xy"]
    if all(PLAUSIBLE_MPP[0] <= value <= PLAUSIBLE_MPP[1] for value in stated):
        if max(stated) > SQUARE * min(stated):
            raise SlideSkipped(
                f"{slide.path.name} has pixels of {stated[0]:g} x {stated[1]:g} microns; give it one mpp in the "
                "cohort's table of mpp overrides"
            )
        return Resolution(math.sqrt(stated[0] * stated[1]), "metadata")
    power = _number(slide.properties.get("openslide.objective-power"))
    if 1 <= power <= 200:
        return Resolution(10 / power, "power")
    raise SlideSkipped(
        f"{slide.path.name} states neither microns per pixel nor an objective power; give it one mpp in the cohort's "
        "table of mpp overrides"
    )


def choose_level(levels: tuple[Level, ...], mpp: float, wanted: float) -> int:
    """Return the coarsest level that is at least as fine as `wanted` microns per pixel.

    Parameters
    ----------
    levels
        The slide's levels.
    mpp
        Microns per pixel of level 0.
    wanted
        Microns per pixel to read at.

    Raises
    ------
    SlideSkipped
        If level 0 itself is coarser than wanted by more than a tenth: details cannot be made up.
    """
    if mpp > wanted * COARSER:
        raise SlideSkipped(f"its level 0 has {mpp:.3g} microns per pixel, coarser than the {wanted:g} asked for")
    fine = [index for index, level in enumerate(levels) if mpp * level.downsample <= wanted * SQUARE]
    return max(fine, key=lambda index: levels[index].downsample, default=0)


def _number(text: str | None) -> float:
    try:
        return float(text) if text else math.nan
    except ValueError:
        return math.nan
