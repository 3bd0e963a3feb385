"""The known tile encoders: what they need, what they give, and on which terms.

Licences and gates are those of the model cards at the time of writing; check them again before use. `tcga` says whether
TCGA slides were in the pre-training: features of such an encoder have seen the pictures of the test patients (not their
outcome), which a report must say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
OPTIMUS = ((0.707223, 0.578729, 0.703617), (0.211883, 0.230117, 0.177517))


@dataclass(frozen=True)
class Card:
    """One encoder.

    Parameters
    ----------
    name
        As in the configuration.
    dimension
        Length of a feature vector.
    timm
        timm model to build, with `options`.
    hub
        Repository on the Hugging Face hub and file in it; empty where weights come another way.
    licence, gated, commercial
        Terms of the weights; `gated`: access must be asked for on the hub.
    tcga
        Whether TCGA was in the pre-training (``yes``, ``no``, ``unknown``).
    family
        How the module is built and its weights are named: see `pathgptomic.slides.encoders`.
    """

    name: str
    dimension: int
    timm: str
    licence: str
    tcga: str
    hub: tuple[str, str] | None = None
    gated: bool = False
    commercial: bool = True
    family: str = "plain"
    size: int = 224
    mpp: float = 0.5
    colour: tuple[tuple[float, ...], tuple[float, ...]] = IMAGENET
    options: Mapping[str, Any] = field(default_factory=dict)
    parameters_m: float = 0.0  # millions of weights


_UNI2 = {
    "patch_size": 14,
    "depth": 24,
    "num_heads": 24,
    "embed_dim": 1536,
    "mlp_ratio": 2.66667 * 2,
    "init_values": 1e-5,
    "no_embed_class": True,
    "reg_tokens": 8,
    "mlp_layer": "SwiGLUPacked",
    "act_layer": "silu",
}
_VIRCHOW = {"mlp_ratio": 5.3375, "init_values": 1e-5, "mlp_layer": "SwiGLUPacked", "act_layer": "silu"}
_GIGAPATH = {"patch_size": 16, "embed_dim": 1536, "depth": 40, "num_heads": 24, "mlp_ratio": 5.33334}
_NO_DERIVATIVES = "CC-BY-NC-ND-4.0"

CARDS = {
    card.name: card
    for card in (
        Card(
            "efficientnet-lite0", 1280, "tf_efficientnet_lite0", "Apache-2.0", "no", family="lite0", colour=HALF,
            parameters_m=3.4,
        ),
        Card(
            "resnet50", 1024, "resnet50", "BSD-3-Clause", "no", ("timm/resnet50.tv_in1k", "model.safetensors"),
            family="third-block", parameters_m=8.5,
        ),
        Card(
            "uni", 1024, "vit_large_patch16_224", _NO_DERIVATIVES, "no", ("MahmoodLab/uni", "pytorch_model.bin"),
            gated=True, commercial=False, options={"init_values": 1e-5}, parameters_m=303,
        ),
        Card(
            "uni2-h", 1536, "vit_giant_patch14_224", _NO_DERIVATIVES, "no", ("MahmoodLab/UNI2-h", "pytorch_model.bin"),
            gated=True, commercial=False, options=_UNI2, parameters_m=681,
        ),
        Card(
            "virchow", 2560, "vit_huge_patch14_224", "Apache-2.0", "no", ("paige-ai/Virchow", "pytorch_model.bin"),
            gated=True, family="class-and-mean", options=_VIRCHOW, parameters_m=631,
        ),
        Card(
            "virchow2", 2560, "vit_huge_patch14_224", _NO_DERIVATIVES, "no", ("paige-ai/Virchow2", "pytorch_model.bin"),
            gated=True, commercial=False, family="class-and-mean", options={**_VIRCHOW, "reg_tokens": 4},
            parameters_m=631,
        ),
        Card(
            "h-optimus-0", 1536, "vit_giant_patch14_reg4_dinov2", "Apache-2.0", "unknown",
            ("bioptimus/H-optimus-0", "pytorch_model.bin"), gated=True, colour=OPTIMUS, options={"init_values": 1e-5},
            parameters_m=1135,
        ),
        Card(
            "h-optimus-1", 1536, "vit_giant_patch14_reg4_dinov2", _NO_DERIVATIVES, "unknown",
            ("bioptimus/H-optimus-1", "pytorch_model.bin"), gated=True, commercial=False, colour=OPTIMUS,
            options={"init_values": 1e-5}, parameters_m=1135,
        ),
        Card(
            "gigapath", 1536, "vit_giant_patch14_dinov2", "Apache-2.0 with conditions of use", "no",
            ("prov-gigapath/prov-gigapath", "pytorch_model.bin"), gated=True, commercial=False, options=_GIGAPATH,
            parameters_m=1135,
        ),
        Card(
            "phikon", 768, "vit_base_patch16_224", "Owkin non-commercial", "yes", ("owkin/phikon", "pytorch_model.bin"),
            commercial=False, family="transformers-vit", parameters_m=86,
        ),
        Card(
            "ctranspath", 768, "swin_tiny_patch4_window7_224", "GPL-3.0", "yes", commercial=True, family="ctranspath",
            parameters_m=28,
        ),
        Card(
            "conch", 512, "vit_base_patch16_224", _NO_DERIVATIVES, "no", ("MahmoodLab/CONCH", "pytorch_model.bin"),
            gated=True, commercial=False, family="conch", size=448, colour=CLIP, parameters_m=90,
        ),
    )
}  # fmt: skip


def weights_file(name: str) -> str | None:
    """Return the name of the file that has to be fetched for an encoder, None where nothing can be or need be.

    Reads nothing but the name, since it is asked while the workflow is planned.
    """
    if name.startswith("timm:"):
        return "model.safetensors"
    return CARDS[name].hub[1] if name in CARDS and CARDS[name].hub else None


def card(name: str) -> Card:
    """Return the card of a registered encoder, or one for ``timm:<model>``.

    Raises
    ------
    ValueError
        If no encoder has that name.
    """
    if name in CARDS:
        return CARDS[name]
    if name.startswith("timm:"):
        return _of_timm(name)
    raise ValueError(f"the encoder {name!r} is unknown; name one of {', '.join(CARDS)}, or timm:<model of timm>")


def _of_timm(name: str) -> Card:
    """Describe any model of timm by its own configuration."""
    from pathgptomic.timm_import import import_timm

    timm = import_timm()
    model = name.removeprefix("timm:")
    if not timm.is_model(model.partition(".")[0]):
        raise ValueError(f"the encoder {name!r} is unknown; timm has no model {model!r}")
    known = timm.get_pretrained_cfg(model)
    return Card(
        name=name,
        dimension=0,  # asked of the built model
        timm=model.partition(".")[0],
        licence=known.license or "unknown",
        tcga="unknown",
        hub=(known.hf_hub_id, "model.safetensors") if known.hf_hub_id else None,
        size=known.input_size[-1],
        colour=(tuple(known.mean), tuple(known.std)),
    )
