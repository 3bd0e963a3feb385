"""What can be said about the slides section before any job: unknown encoders, absent files, settings that clash."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pathgptomic.config import resolve
from pathgptomic.slides.registry import CARDS


def errors(config: dict[str, Any], cohorts: dict[str, dict[str, Any]]) -> list[str]:
    """Return one sentence for everything that a run would trip over."""
    found = [f"config: {sentence}" for sentence in _settings(config["slides"], config["device"])]
    for name, cohort in cohorts.items():
        table, folder = cohort["slides"]["mpp"], cohort["slides"]["rois"]
        if folder and not Path(resolve(config, folder)).is_dir():
            found.append(
                f"{config['cohort_folder']}/{name}.yaml: there is no folder {resolve(config, folder)}; correct "
                "slides.rois."
            )
        if table and not Path(resolve(config, table)).is_file():
            found.append(
                f"{config['cohort_folder']}/{name}.yaml: there is no file {resolve(config, table)}; correct slides.mpp."
            )
    return found


def _settings(slides: Mapping[str, Any], device: str) -> Iterator[str]:
    encoder = slides["encoder"]
    if encoder not in CARDS and not encoder.startswith("timm:"):
        yield f"there is no encoder '{encoder}'; name one of {', '.join(CARDS)}, or timm:MODEL in slides.encoder."
        return
    if slides["weights"] and not Path(slides["weights"]).is_file():
        yield f"there is no file {slides['weights']}; correct slides.weights, or leave it out."
    if encoder in CARDS and not slides["weights"]:
        known = CARDS[encoder]
        if known.hub is None and known.family != "lite0":
            yield f"the weights of {encoder} are on no hub; fetch them by hand and name the file in slides.weights."
    if slides["backend"] == "openvino" and device == "cuda":
        yield "slides.backend openvino runs on a CPU and device is cuda; set slides.backend to torch."
    if device == "cpu" and slides["backend"] == "torch" and slides["precision"] not in ("auto", "float32"):
        yield (
            f"slides.precision {slides['precision']} needs a GPU or slides.backend openvino, and device is cpu; set "
            "float32."
        )
