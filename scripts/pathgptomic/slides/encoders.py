"""Build a tile encoder and load its weights: any timm model, and the few whose weights are named in another way."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from pathgptomic.slides.registry import Card, card
from pathgptomic.slides.towers import ClassAndMean, Conch, ConvStem, ThirdBlock
from pathgptomic.timm_import import import_timm
from pathgptomic.timm_weights import fill, in_order, read_weights

log = logging.getLogger(__name__)


def build(known: Card) -> nn.Module:
    """Return the module of an encoder with weights still to be loaded: [n, 3, size, size] -> [n, dimension]."""
    timm = import_timm()
    options = dict(known.options)
    if "mlp_layer" in options:
        options["mlp_layer"] = getattr(timm.layers, options["mlp_layer"])
    if known.timm.startswith("vit"):
        options["img_size"] = known.size
    if known.family == "ctranspath":
        options["embed_layer"] = ConvStem
    if known.family == "transformers-vit":
        options["norm_layer"] = partial(nn.LayerNorm, eps=1e-12)
    trunk = timm.create_model(known.timm, pretrained=False, num_classes=0, **options)
    wrap = {"class-and-mean": ClassAndMean, "third-block": ThirdBlock, "conch": Conch}.get(known.family)
    return (wrap(trunk) if wrap else trunk).eval()


def load(known: Card, weights: Path) -> nn.Module:
    """Return an encoder with its weights, every one of which must be there and fit.

    Raises
    ------
    ValueError
        If the file lacks weights of the model.
    """
    model = build(known)
    spare = fill(model, _translate(known, read_weights(weights), model), name=known.name, source=weights)
    log.info("%s: weights from %s%s", known.name, weights, f", {spare} of them unused" if spare else "")
    return model


def fetch_encoder(*, name: str, weights_out: str) -> None:
    """Download the weights of an encoder.

    Parameters
    ----------
    name
        Name of the encoder.
    weights_out
        The file, under its name on the hub.

    Raises
    ------
    ValueError
        If they cannot be had: what to do is in the message.
    """
    from huggingface_hub import hf_hub_download

    known = card(name)
    if known.hub is None:
        raise ValueError(f"the weights of {name} are on no hub; fetch them by hand and name the file in slides.weights")
    repository, file = known.hub
    gate = f" (gated: ask for access on its page and set HF_TOKEN; licence {known.licence})" if known.gated else ""
    try:
        path = hf_hub_download(repository, file, local_dir=Path(weights_out).parent, token=os.environ.get("HF_TOKEN"))
    except Exception as error:
        raise ValueError(
            f"the weights of {name} could not be fetched from huggingface.co/{repository}{gate}: {error}; on a node "
            f"without internet copy {file} from there and name it in slides.weights"
        ) from error
    if Path(path) != Path(weights_out):
        Path(path).rename(weights_out)


def _translate(known: Card, weights: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Rename weights to the names of our module."""
    if known.family == "lite0":
        return in_order(weights, model)
    if known.family == "transformers-vit":
        return _from_transformers(weights)
    if known.family == "ctranspath":
        from timm.models.swin_transformer import checkpoint_filter_fn

        return checkpoint_filter_fn({name: value for name, value in weights.items() if "head" not in name}, model)
    if known.family == "conch":
        return {name.removeprefix("visual."): value for name, value in weights.items()}
    if known.family == "class-and-mean":
        return {f"trunk.{name}": value for name, value in weights.items()}
    return weights


def _from_transformers(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of a ViT of the package transformers to timm's names."""
    made: dict[str, Tensor] = {}
    weights = {name.removeprefix("vit."): value for name, value in weights.items()}
    renamed = {
        "embeddings.cls_token": "cls_token",
        "embeddings.position_embeddings": "pos_embed",
        "embeddings.patch_embeddings.projection.weight": "patch_embed.proj.weight",
        "embeddings.patch_embeddings.projection.bias": "patch_embed.proj.bias",
        "layernorm.weight": "norm.weight",
        "layernorm.bias": "norm.bias",
    }
    parts = {
        "layernorm_before": "norm1",
        "layernorm_after": "norm2",
        "attention.output.dense": "attn.proj",
        "intermediate.dense": "mlp.fc1",
        "output.dense": "mlp.fc2",
    }
    blocks = {name.split(".")[2] for name in weights if name.startswith("encoder.layer.")}
    for block in blocks:
        source, target = f"encoder.layer.{block}", f"blocks.{block}"
        for kind in ("weight", "bias"):
            renamed |= {f"{source}.{old}.{kind}": f"{target}.{new}.{kind}" for old, new in parts.items()}
            thirds = [weights[f"{source}.attention.attention.{name}.{kind}"] for name in ("query", "key", "value")]
            made[f"{target}.attn.qkv.{kind}"] = torch.cat(thirds)
    return made | {new: weights[old] for old, new in renamed.items()}
