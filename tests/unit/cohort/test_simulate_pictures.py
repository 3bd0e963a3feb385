"""The nuclear density that carries risk can be seen on the simulated slides."""

import numpy as np
import openslide

from pathgptomic.cohort.simulate.pictures import pictures, write_picture
from pathgptomic.cohort.simulate.spec import Spec
from pathgptomic.cohort.simulate.world import simulate


def nuclear_share(path: str, side: int = 128) -> float:
    """Share of nuclei in the median field of tissue: pixels that absorb red, which eosin does not."""
    slide = openslide.OpenSlide(path)
    pixels = np.asarray(slide.read_region((0, 0), 0, slide.dimensions))[..., :3].astype(float)
    rows, columns = (length // side for length in pixels.shape[:2])
    fields = pixels[: rows * side, : columns * side].reshape(rows, side, columns, side, 3).swapaxes(1, 2)
    fields = fields.reshape(-1, side * side, 3)
    tissue = (fields[..., 1] < 215).mean(axis=1) > 0.9
    absorbed = -np.log((fields[tissue][..., 0] + 1) / 246)
    return float(np.median((absorbed > 0.3).mean(axis=1)))


def test_density_can_be_seen_on_the_slides(tmp_path):
    spec = Spec(patients=14, slide_pixels=1024, missing={"slides": 0.0})
    world = simulate(spec, 4)
    drawn = [picture for picture in pictures(world, spec, 4, tmp_path) if "-DX1" in picture.path]
    for picture in drawn:
        write_picture(picture)
    assert len(drawn) == 14
    assert len({picture.codec for picture in drawn}) == 2
    seen = np.array([nuclear_share(picture.path) for picture in drawn])
    density = world.density[[picture.patient_id for picture in drawn]].to_numpy()
    assert np.corrcoef(np.log(seen), density)[0, 1] > 0.8
