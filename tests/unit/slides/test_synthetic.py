"""The generator of slides: files that OpenSlide takes for a scanner's, and a scene that is known."""

from pathlib import Path

import numpy as np
import openslide
import pytest

from pathgptomic.slides.quality import optical_density
from pathgptomic.slides.scene import GLASS, PEN, TISSUE, make_scene
from pathgptomic.slides.synthetic import CODECS, write_slide


@pytest.mark.parametrize("codec", CODECS)
def test_openslide_takes_the_file_for_an_aperio_slide(slides, codec: str):
    with openslide.OpenSlide(slides[codec]) as slide:
        assert slide.properties["openslide.vendor"] == "aperio"
        assert slide.dimensions == (2100, 1700)
        assert slide.level_dimensions[1:] == ((525, 425), (131, 106), (65, 53))
        assert float(slide.properties["openslide.mpp-x"]) == 0.25
        assert slide.properties["openslide.objective-power"] == "40"
        assert set(slide.associated_images) == {"thumbnail", "label", "macro"}


def test_a_plain_tiff_states_its_resolution(slides):
    with openslide.OpenSlide(slides["generic"]) as slide:
        assert slide.properties["openslide.vendor"] == "generic-tiff"
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.25)


def test_what_is_written_is_the_scene(large):
    path, scene = large
    with openslide.OpenSlide(path) as slide:
        for x, y in ((0, 0), (3000, 2000), (5001, 4099)):
            found = np.asarray(slide.read_region((x, y), 0, (500, 300)).convert("RGB")).astype(int)
            # JPEG of quality 70
            assert abs(found - scene.render(x, y, 500, 300)).mean() < 6


def test_a_seed_gives_the_same_file_and_another_seed_another(tmp_path: Path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_slide(tmp_path / f"{name}.svs", width=700, height=500, seed=seed)
    a, b, c = ((tmp_path / f"{name}.svs").read_bytes() for name in "abc")
    assert a == b != c


def test_more_nuclei_mean_more_haematoxylin():
    stained = []
    for density in (500, 2000, 8000):
        scene = make_scene(width=3000, height=3000, mpp=0.25, density=density, seed=1)
        picture = scene.textures[TISSUE]
        stained.append(optical_density(picture, np.full(3, 245.0))[..., 0].mean())  # eosin hardly absorbs red
    assert stained[0] < stained[1] < stained[2]
    assert (stained[2] - stained[1]) / (stained[1] - stained[0]) == pytest.approx(4, rel=0.4)


def test_the_share_of_tissue_is_as_asked():
    for share in (0.0, 0.2, 0.6):
        scene = make_scene(width=8000, height=6000, mpp=0.25, density=3000, seed=1, tissue=share, pen=False)
        assert (scene.classes != GLASS).mean() == pytest.approx(share, abs=0.03)
    assert not (scene.classes == PEN).any()


@pytest.mark.parametrize(("option", "value"), [("codec", "png"), ("layout", "philips")])
def test_unknown_formats_are_refused(tmp_path: Path, option: str, value: str):
    with pytest.raises(ValueError, match=f"{value!r} is none of"):
        write_slide(tmp_path / "a.svs", width=300, height=300, **{option: value})
