"""Write a checkpoint with random weights in the official layout, for tests, benchmarks and the demo."""

import json
from pathlib import Path

import numpy as np
import torch

from pathgptomic.files import atomic
from pathgptomic.genomics.checkpoint import Architecture, expected_shapes
from pathgptomic.seeds import torch_generator

SPECIAL = ("<pad>", "<cls>", "<eoc>")
TINY = {"width": 64, "heads": 4, "hidden": 96, "layers": 2}
OFFICIAL = {"width": 512, "heads": 8, "hidden": 512, "layers": 12}


def make_tiny_checkpoint(*, expression: list[str], folder: str, seed: int) -> None:
    """Write a tiny checkpoint that knows every gene of some expression files.

    Its embeddings are random projections of the expression: enough to run and test everything, and without any of the
    knowledge that the published weights hold.

    Parameters
    ----------
    expression
        Files in .h5ad form whose gene symbols (var names) become the vocabulary.
    folder
        Where args.json, vocab.json and best_model.pt are written.
    seed
        Seed of the weights.
    """
    import anndata

    genes = {str(name) for path in expression for name in anndata.read_h5ad(path, backed="r").var_names}
    write_checkpoint(folder, genes=sorted(genes - set(SPECIAL)), sizes=TINY, seed=seed)


def write_checkpoint(folder: str | Path, *, genes: list[str], sizes: dict[str, int], seed: int) -> None:
    """Write a checkpoint with random weights and the key names of the published file (`Wqkv`, unused heads and all).

    Every layer gets weights of its own and norms differ from the identity, so that no error of order can hide.
    """
    vocabulary = {token: index for index, token in enumerate([*genes, *SPECIAL])}
    architecture = Architecture(tokens=len(vocabulary), **sizes)
    generator = torch_generator(seed, "scGPT checkpoint")
    shapes = expected_shapes(architecture) | _unused_shapes(architecture)
    weights = {key: _draw(key, shape, generator) for key, shape in shapes.items()}
    # kinks of the value encoder spread over the bins, so that every bin has an embedding of its own
    slope = weights["value_encoder.linear1.weight"][:, 0]
    weights["value_encoder.linear1.bias"] = -slope * 50 * torch.rand(slope.shape, generator=generator)
    with atomic(folder) as temporary:
        temporary.mkdir()
        (temporary / "args.json").write_text(json.dumps(_arguments(architecture), indent=1))
        (temporary / "vocab.json").write_text(json.dumps(vocabulary))
        published = {key.replace(".self_attn.in_proj_", ".self_attn.Wqkv."): value for key, value in weights.items()}
        torch.save(published, temporary / "best_model.pt")


def _arguments(architecture: Architecture) -> dict[str, object]:
    return {
        "embsize": architecture.width,
        "nheads": architecture.heads,
        "d_hid": architecture.hidden,
        "nlayers": architecture.layers,
        "n_layers_cls": 3,
        "dropout": 0.2,
        "pad_token": "<pad>",
        "pad_value": -2,
        "mask_value": -1,
        "input_style": "binned",
        "input_emb_style": "continuous",
        "n_bins": architecture.bins,
        "max_seq_len": 1200,
        "fast_transformer": True,
    }


def _unused_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Return the pre-training heads of the published file, which an embedding does not use."""
    width = architecture.width
    shapes: dict[str, tuple[int, ...]] = {"flag_encoder.weight": (2, width)}
    for index, rows in ((0, width), (2, width), (4, 1)):
        shapes |= {f"decoder.fc.{index}.weight": (rows, width), f"decoder.fc.{index}.bias": (rows,)}
    shapes |= {"mvc_decoder.gene2query.weight": (width, width), "mvc_decoder.gene2query.bias": (width,)}
    return shapes | {"mvc_decoder.W.weight": (width, width)}


def _draw(key: str, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    noise = torch.randn(shape, generator=generator)
    if "norm" in key and key.endswith("weight"):
        return 1 + 0.1 * noise
    if len(shape) == 1:
        return 0.05 * noise
    scale = {"encoder.embedding.weight": 0.06, "value_encoder.linear1.weight": 0.1}
    return noise * scale.get(key, float(np.sqrt(1 / shape[1])))
