"""What is said of the slides section before any job."""

from pathlib import Path

import pytest

from pathgptomic.slides.checks import errors

SLIDES = {"encoder": "efficientnet-lite0", "weights": None, "backend": "torch", "precision": "auto"}


def sentences(slides=None, device: str = "auto", mpp: str | None = None, root: str = "") -> list[str]:
    config = {"slides": SLIDES | (slides or {}), "device": device, "cohort_folder": "cohorts", "data_root": root}
    return errors(config, {"ours": {"slides": {"mpp": mpp, "rois": None}}})


@pytest.mark.parametrize(
    "slides",
    [
        {},
        {"precision": "bfloat16"},
        {"encoder": "uni"},
        {"encoder": "timm:resnet18"},
        {"backend": "openvino"},
        {"encoder": "resnet50"},
    ],
)
def test_what_can_run_is_not_refused(slides):
    assert sentences(slides) == []


@pytest.mark.parametrize(
    ("slides", "device", "expected"),
    [
        ({"encoder": "uni3"}, "auto", "there is no encoder 'uni3'; name one of efficientnet-lite0, resnet50, uni,"),
        ({"weights": "no/such.bin"}, "auto", "there is no file no/such.bin; correct slides.weights"),
        ({"encoder": "ctranspath"}, "auto", "the weights of ctranspath are on no hub; fetch them by hand"),
        ({"backend": "openvino"}, "cuda", "openvino runs on a CPU and device is cuda; set slides.backend to torch"),
        ({"precision": "float16"}, "cpu", "precision float16 needs a GPU or slides.backend openvino"),
    ],
)
def test_what_cannot_run_is_said_with_the_fix(slides, device: str, expected: str):
    (sentence,) = sentences(slides, device)
    assert sentence.startswith("config: ")
    assert expected in sentence


def test_weights_at_hand_make_an_encoder_without_a_hub_possible(tmp_path: Path):
    (tmp_path / "ctranspath.pth").touch()
    assert sentences({"encoder": "ctranspath", "weights": str(tmp_path / "ctranspath.pth")}) == []


def test_a_table_of_resolutions_must_be_there(tmp_path: Path):
    (sentence,) = sentences(mpp="mpp.tsv", root=str(tmp_path))
    assert sentence == f"cohorts/ours.yaml: there is no file {tmp_path}/mpp.tsv; correct slides.mpp."
    (tmp_path / "mpp.tsv").touch()
    assert sentences(mpp="mpp.tsv", root=str(tmp_path)) == []
