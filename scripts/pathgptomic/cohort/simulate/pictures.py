"""Draw the slides of a simulated cohort: the tumour's nuclear density carries risk, sites scan in ways of their own.

Stroma lies beside the tumour and is alike in all patients. Some slides have flaws of real ones: pen strokes, and one
scanner that was silent about its resolution.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pathgptomic.cohort.simulate.gdc_hits import name_uuid
from pathgptomic.cohort.simulate.slides import SECOND_SLIDE, TUMOUR_SHARE
from pathgptomic.cohort.simulate.spec import Spec
from pathgptomic.cohort.simulate.world import World
from pathgptomic.seeds import derive, rng

MEAN_DENSITY, SPREAD = 5000.0, 0.45  # nuclei per square millimetre, and the log-normal spread between patients
MPP = 0.5
FROZEN_EVERY = 25  # patients
PEN_SHARE = 0.3  # of the slides
CODECS = ("jpeg-420", "jpeg-rgb")


@dataclass(frozen=True)
class Picture:
    """One slide to draw; `density` in nuclei per square millimetre; `scaled`: the file states its resolution."""

    path: str
    patient_id: str
    kind: str
    side: int
    density: float
    codec: str
    quality: int
    seed: int
    pen: bool
    scaled: bool


def pictures(world: World, spec: Spec, seed: int, folder: Path) -> Iterator[Picture]:
    """Yield the slides of all patients that have any; of some a frozen section too, which no query asks for."""
    generator = rng(seed, "simulate", "slides")
    silent = False
    for number, (patient_id, patient) in enumerate(world.patients.iterrows()):
        site = rng(seed, "simulate", "scanner", patient["site"])
        codec, quality = str(site.choice(CODECS)), int(site.integers(60, 90))
        names = ["DX1"] + ["DX2"] * int(generator.random() < SECOND_SLIDE)
        noise = generator.normal(size=len(names))
        if not patient["has_slides"]:
            continue
        barcodes = [(f"{patient_id}-01Z-00-{name}", "slides") for name in names]
        if number % FROZEN_EVERY == 3:
            barcodes.append((f"{patient_id}-01A-01-TS1", "frozen"))
        for i, (barcode, kind) in enumerate(barcodes):
            uuid = name_uuid(seed, kind, barcode)
            score = world.density[patient_id] + 0.1 * noise[min(i, len(noise) - 1)]
            # a second slide, so that no patient is lost with it
            mute = i == 1 and kind == "slides" and not silent
            silent |= mute
            yield Picture(
                path=str(folder / uuid / f"{barcode}.{name_uuid(seed, 'name', barcode).upper()}.svs"),
                patient_id=str(patient_id),
                kind=kind,
                side=spec.slide_pixels,
                density=float(MEAN_DENSITY * np.exp(SPREAD * score)),
                codec=codec,
                quality=quality,
                seed=derive(seed, "simulate", barcode),
                pen=bool(rng(seed, "simulate", "pen", barcode).random() < PEN_SHARE),
                scaled=not mute,
            )


def write_picture(picture: Picture) -> None:
    """Draw one slide as a pyramidal SVS."""
    from pathgptomic.slides.synthetic import write_slide

    Path(picture.path).parent.mkdir()
    write_slide(
        picture.path,
        width=picture.side,
        height=picture.side,
        mpp=MPP,
        density=picture.density,
        codec=picture.codec,
        quality=picture.quality,
        seed=picture.seed,
        levels=(4,),
        stroma=1 - TUMOUR_SHARE,
        pen=picture.pen,
        state_mpp=picture.scaled,
        state_power=picture.scaled,
    )
