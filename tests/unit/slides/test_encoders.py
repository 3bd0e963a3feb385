"""Encoders: real weights of the default one, names and shapes of all, and what is said when weights do not fit."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from pathgptomic.slides.encode import Encoder, _agreeing, make_encoder
from pathgptomic.slides.encoders import build, fetch_encoder, load
from pathgptomic.slides.registry import CARDS, Card, card, weights_file
from pathgptomic.timm_import import import_timm
from pathgptomic.timm_weights import embedded_weights, read_weights

LITE = CARDS["efficientnet-lite0"]


def tiles(count: int, size: int = 224, seed: int = 0) -> np.ndarray:
    """Tissue-like pictures: coarse colours with fine noise."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(90, 240, (count, size // 16, size // 16, 3)).repeat(16, axis=1).repeat(16, axis=2)
    return (coarse + generator.normal(0, 12, coarse.shape)).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def lite() -> Encoder:
    return make_encoder(name=LITE.name, weights=None, tile=224)


def test_timm_comes_without_traces_of_a_made_up_torchvision():
    assert import_timm().is_model("vit_large_patch16_224")
    left = [
        name for name, module in sys.modules.items() if name.startswith("torchvision") and not module.__spec__.origin
    ]
    assert not left


@pytest.mark.parametrize("known", CARDS.values(), ids=CARDS)
def test_every_registered_encoder_has_the_dimension_and_size_of_its_card(known: Card):
    with torch.device("meta"):  # shapes without the gigabytes
        model = build(known)
        features = model(torch.zeros(2, 3, known.size, known.size))
    assert features.shape == (2, known.dimension)
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    assert millions == pytest.approx(known.parameters_m, rel=0.03)


def test_every_card_says_its_terms():
    for known in CARDS.values():
        assert known.licence
        assert known.tcga in ("yes", "no", "unknown")
        assert known.commercial or known.licence != "Apache-2.0"


def test_the_guide_says_the_terms_of_every_encoder(root: Path):
    guide = (root / "config" / "README.md").read_text()
    for known in CARDS.values():
        (row,) = [line for line in guide.splitlines() if line.startswith(f"| `{known.name}` |")]
        _, _, dimension, size, mpp, terms, tcga, weights, _ = (cell.strip() for cell in row.split("|"))
        assert (int(dimension), int(size), float(mpp), tcga) == (known.dimension, known.size, known.mpp, known.tcga)
        assert terms.startswith(known.licence)
        assert ("gated" in terms) == known.gated
        assert ("not commercial" in terms) == (not known.commercial)
        assert known.hub is None or "/".join(known.hub) in weights


def test_any_model_of_timm_is_known_by_name():
    known = card("timm:resnet18")
    assert (known.timm, known.size) == ("resnet18", 224)
    assert weights_file("timm:resnet18") == "model.safetensors"
    with pytest.raises(ValueError, match="unknown; timm has no model"):
        card("timm:no-such-model")
    with pytest.raises(ValueError, match="efficientnet-lite0"):
        card("resnet-50")


def test_the_default_encoder_tells_real_regions_apart(shared, lite: Encoder):
    # features of one half of each region find the region of the other half
    halves = []
    for path in sorted((shared / "data" / "rois").glob("*.png")):
        picture = np.asarray(Image.open(path).convert("RGB"))
        parts = [picture[y : y + 224, x : x + 224] for y in (0, 224, 512, 736) for x in (0, 256, 512, 768)]
        features = lite.run(np.stack(parts))
        halves.append((features[:8] / np.linalg.norm(features[:8], axis=1, keepdims=True), features[8:]))
    centres = np.stack([first.mean(axis=0) for first, _ in halves])
    for region, (_, second) in enumerate(halves):
        nearest = (second @ centres.T / np.linalg.norm(centres, axis=1)).argmax(axis=1)
        assert (nearest == region).mean() >= 0.75


def test_the_fast_forms_agree_with_the_plain_network(lite: Encoder):
    pictures = tiles(9)
    plain = load(LITE, embedded_weights())
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
    with torch.inference_mode():
        expected = plain((pixels / 255 - 0.5) / 0.5).numpy()
    assert "folded" in lite.how
    assert np.allclose(lite.run(pictures), expected, rtol=1e-3, atol=1e-4)
    pytest.importorskip("openvino")
    found = make_encoder(name=LITE.name, weights=None, tile=224, backend="openvino").run(pictures)
    cosine = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosine.min() >= 0.9999


def test_real_tissue_has_the_same_features_in_the_fast_form(shared, lite: Encoder):
    pytest.importorskip("openvino")
    fast = make_encoder(name=LITE.name, weights=None, tile=224, backend="openvino")
    for path in sorted((shared / "data" / "rois").glob("*.png")):
        picture = np.asarray(Image.open(path).convert("RGB"))
        parts = np.stack([picture[y : y + 224, x : x + 224] for y in (0, 448, 736) for x in (0, 448, 736)])
        found, expected = fast.run(parts), lite.run(parts)
        cosine = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
        assert cosine.min() >= 0.999


ENCODERS_THEN_A_SIGNAL = """
import os, signal
from pathgptomic.slides.encode import make_encoder
settings = dict(name="efficientnet-lite0", weights=None, tile=224, backend="openvino", precision="float32")
first, second = make_encoder(**settings), make_encoder(**settings)
del first
del second
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
os.kill(os.getpid(), signal.SIGUSR1)
"""


def test_a_signal_after_two_encoders_of_openvino_is_handled(root: Path):
    pytest.importorskip("openvino")
    command = [sys.executable, "-c", ENCODERS_THEN_A_SIGNAL]
    run = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(root / "scripts")}, capture_output=True, text=True
    )
    assert (run.returncode, run.stdout) == (0, "handled\n"), run.stderr


def test_the_first_precision_that_agrees_is_taken_and_one_that_was_asked_for_is_refused():
    probe = np.ones((2, 4, 4, 3), np.uint8)
    expected = np.ones((2, 8), np.float32)
    noise = np.tile([1.0, -1.0], 4)
    error = {"bfloat16": 0.05, "float16": 0.02, "float32": 0.0}  # cosines 0.99875, 0.9998, 1

    def build(kind: str):
        return lambda tiles: expected + error[kind] * noise.astype(np.float32), kind

    def chosen(*kinds: str) -> str:
        return _agreeing("uni", list(kinds), build, probe, expected)[1]

    assert chosen("bfloat16", "float16", "float32") == "float16"
    assert chosen("float16", "float32") == "float16"
    assert chosen("bfloat16", "float32") == "float32"
    with pytest.raises(ValueError, match=r"uni on bfloat16 gives features with cosine 0\.9987. .* set float32"):
        chosen("bfloat16")
    error["float16"] = 0.04  # 0.9992: enough if it was asked for, too little to be taken unasked
    assert chosen("float16") == "float16"
    assert chosen("float16", "float32") == "float32"
    error["bfloat16"] = np.nan
    assert chosen("bfloat16", "float32") == "float32"


def test_a_feature_does_not_depend_on_the_other_tiles_of_its_batch(lite: Encoder):
    pictures = tiles(11)
    together = lite.run(pictures)
    alone = np.concatenate([lite.run(pictures[i : i + 1]) for i in range(11)])
    assert np.allclose(together, alone, rtol=1e-3, atol=1e-4)


def test_tiles_of_another_size_are_resized(lite: Encoder):
    pictures = tiles(2, size=256)
    found = make_encoder(name=LITE.name, weights=None, tile=256).run(pictures)
    small = np.stack([np.asarray(Image.fromarray(p).resize((224, 224), Image.Resampling.BILINEAR)) for p in pictures])
    expected = lite.run(small)
    cosine = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosine.min() > 0.999


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"name": "uni", "weights": None}, "uni needs its weights"),
        ({"name": "uni", "weights": "no/such/file.bin"}, "no/such/file.bin, which is not a file"),
        ({"name": LITE.name, "weights": None, "precision": "bfloat16"}, "needs a GPU or slides.backend: openvino"),
        ({"name": LITE.name, "weights": None, "device": "cuda"}, "no GPU is visible"),
    ],
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_impossible_settings_are_refused_with_the_fix(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        make_encoder(tile=224, **settings)


def test_weights_of_another_model_are_refused(tmp_path: Path):
    save_file({"conv.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="lacks .* of the .* weights of resnet50"):
        load(CARDS["resnet50"], tmp_path / "other.safetensors")
    wrong = {name: torch.zeros(1) for name in build(CARDS["resnet50"]).state_dict()}
    save_file(wrong, tmp_path / "shape.safetensors")
    with pytest.raises(ValueError, match=r"of shape \(1,\) where resnet50 has"):
        load(CARDS["resnet50"], tmp_path / "shape.safetensors")


def test_a_torch_file_that_would_run_code_is_refused(tmp_path: Path):
    class Harm:
        def __reduce__(self):
            return Path.touch, (tmp_path / "harmed",)

    torch.save({"model": Harm()}, tmp_path / "harm.pth")
    with pytest.raises(ValueError, match="holds more than weights, and is not opened"):
        read_weights(tmp_path / "harm.pth")
    assert not (tmp_path / "harmed").exists()


def saved(model: torch.nn.Module, path: Path, rename) -> Path:
    """Give a model random weights and save them under other names, inside a "model" entry."""
    generator = torch.Generator().manual_seed(0)
    state = {
        # positive, since some of them are variances
        name: torch.rand(value.shape, generator=generator) * 0.05 if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    model.load_state_dict(state)
    torch.save({"model": {rename(name): value for name, value in state.items()}}, path)
    return path


def test_weights_of_ctranspath_fit_under_their_old_names(tmp_path: Path):
    known = CARDS["ctranspath"]
    model = build(known)

    def old(name: str) -> str:
        # timm 0.5 had the downsampling at the end of a stage, not at the start of the next
        parts = name.split(".")
        return ".".join([parts[0], str(int(parts[1]) - 1), *parts[2:]]) if "downsample" in parts else name

    path = saved(model, tmp_path / "ctranspath.pth", old)
    picture = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        assert torch.equal(load(known, path)(picture), model(picture))


def test_weights_of_conch_are_taken_from_its_vision_tower(tmp_path: Path):
    known = replace(CARDS["conch"], options={"depth": 1})
    model = build(known)
    path = saved(model, tmp_path / "conch.bin", lambda name: f"visual.{name}")
    picture = torch.randn(1, 3, 448, 448)
    with torch.inference_mode():
        assert torch.equal(load(known, path)(picture), model(picture))


def test_weights_of_transformers_are_renamed(tmp_path: Path):
    known = replace(CARDS["phikon"], options={"depth": 2})
    model = build(known)
    target = saved(model, tmp_path / "plain.pth", str)
    state = read_weights(target)
    old = {}
    names = {"norm1": "layernorm_before", "norm2": "layernorm_after", "attn.proj": "attention.output.dense"}
    names |= {"mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense"}
    outer = {"cls_token": "cls_token", "pos_embed": "position_embeddings"}
    outer |= {f"patch_embed.proj.{kind}": f"patch_embeddings.projection.{kind}" for kind in ("weight", "bias")}
    for name, value in state.items():
        if name.startswith("blocks."):
            _, block, rest = name.split(".", 2)
            place, kind = rest.rsplit(".", 1)
            if place == "attn.qkv":
                for part, third in zip(("query", "key", "value"), value.chunk(3), strict=True):
                    old[f"encoder.layer.{block}.attention.attention.{part}.{kind}"] = third
            else:
                old[f"encoder.layer.{block}.{names[place]}.{kind}"] = value
        elif name in outer:
            old[f"embeddings.{outer[name]}"] = value
        else:
            old[f"layernorm.{name.rsplit('.', 1)[1]}"] = value
    torch.save(old, tmp_path / "hub.bin")
    picture = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        assert torch.equal(load(known, tmp_path / "hub.bin")(picture), model(picture))


def test_virchow_features_are_the_class_token_beside_the_mean_of_patches():
    small = Card("small", 128, "vit_tiny_patch16_224", "", "no", family="class-and-mean", options={
        "embed_dim": 64, "num_heads": 2, "depth": 1, "reg_tokens": 4,
    })  # fmt: skip
    model = build(small)
    picture = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        tokens = model.trunk.forward_features(picture)
        assert tokens.shape == (2, 1 + 4 + 196, 64)
        assert torch.equal(model(picture), torch.cat([tokens[:, 0], tokens[:, 5:].mean(1)], 1))


def test_a_fetch_that_cannot_be_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ValueError, match="ctranspath are on no hub"):
        fetch_encoder(name="ctranspath", weights_out=str(tmp_path / "x.pth"))

    def offline(*_, **__):
        raise ConnectionError("no route to host")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    sentence = (
        r"MahmoodLab/uni \(gated: .* HF_TOKEN.*no route to host; on a node without internet copy pytorch_model.bin"
    )
    with pytest.raises(ValueError, match=sentence):
        fetch_encoder(name="uni", weights_out=str(tmp_path / "pytorch_model.bin"))
