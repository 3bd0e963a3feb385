"""Read an official scGPT folder (args.json, vocab.json, best_model.pt), strictly and safely."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch

from pathgptomic.files import sha256_file

logger = logging.getLogger(__name__)

FILES = ("args.json", "vocab.json", "best_model.pt")
# Heads of the pre-training tasks. An embedding does not pass through them, so they may be there or not.
UNUSED = ("decoder.", "mvc_decoder.", "cls_decoder.", "flag_encoder.")
# What `args.json` must say, where it says anything: another value means another network than the one in `scgpt.py`.
REQUIRED_ARGUMENTS = {
    "input_emb_style": ("continuous",),
    "cell_emb_style": ("cls",),
    "pre_norm": (False,),
    "use_batch_labels": (False,),
    "domain_spec_batchnorm": (False,),
}


@dataclass(frozen=True)
class Architecture:
    """Sizes of the network, as `args.json` and `vocab.json` give them (the published model: 60697, 512, 8, 512, 12)."""

    tokens: int
    width: int
    heads: int
    hidden: int
    layers: int
    bins: int = 51  # values are binned to 1 .. bins - 1
    pad_value: float = -2.0  # the value of <pad> and of <cls>


@dataclass(frozen=True)
class Checkpoint:
    """A read checkpoint: sizes, token ids by gene symbol, float32 weights under torch's key names, and its identity."""

    architecture: Architecture
    vocabulary: dict[str, int]
    weights: dict[str, torch.Tensor]
    sha256: str


def read_checkpoint(folder: str | Path, *, sha256: str = "") -> Checkpoint:
    """Read a checkpoint and stop at anything that is not as published.

    Parameters
    ----------
    folder
        Folder with `args.json`, `vocab.json` and `best_model.pt`.
    sha256
        What the SHA-256 of `best_model.pt` has to be; empty for any.

    Raises
    ------
    ValueError
        If a file is missing, the network is of another kind, or keys or shapes of the weights differ from what the
        sizes demand. The published loader leaves out whatever does not fit without a word, and so returns random
        embeddings for a wrong file.
    """
    folder = Path(folder)
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise ValueError(
            f"the scGPT checkpoint folder {folder} lacks {', '.join(missing)}; put the three files of the official "
            "download there and name the folder in genomics.checkpoint."
        )
    digest = sha256_file(folder / "best_model.pt")
    if sha256 and digest != sha256.lower():
        raise ValueError(
            f"{folder / 'best_model.pt'} has SHA-256 {digest} but genomics.sha256 asks for {sha256}; use the file that "
            "was agreed on, or change the key."
        )
    vocabulary = read_vocabulary(folder / "vocab.json")
    architecture = _read_architecture(folder / "args.json", len(vocabulary))
    weights = _read_weights(folder / "best_model.pt", architecture)
    logger.info("scGPT checkpoint %s: %s, SHA-256 of the weights %s", folder, architecture, digest)
    return Checkpoint(architecture, vocabulary, weights, digest)


def read_vocabulary(path: Path) -> dict[str, int]:
    """Return token ids by gene symbol; `<pad>` and `<cls>` are there and ids run from 0 without a gap."""
    vocabulary = json.loads(path.read_text(encoding="utf-8"))
    lacking = [token for token in ("<pad>", "<cls>") if token not in vocabulary]
    if lacking:
        raise ValueError(
            f"{path} has no token {' and no '.join(lacking)}; use the vocab.json that came with the checkpoint, not "
            "the gene list of the scgpt package."
        )
    if sorted(vocabulary.values()) != list(range(len(vocabulary))):
        raise ValueError(f"the token ids of {path} do not run from 0 to {len(vocabulary) - 1}; the file is damaged.")
    return vocabulary


def _read_architecture(path: Path, tokens: int) -> Architecture:
    arguments = json.loads(path.read_text(encoding="utf-8"))
    for key, allowed in REQUIRED_ARGUMENTS.items():
        if arguments.get(key, allowed[0]) not in allowed:
            raise ValueError(
                f"{path} says {key} = {arguments[key]!r}, but only {allowed[0]!r} is supported; use a checkpoint of "
                "the published kind."
            )
    return Architecture(
        tokens=tokens,
        width=arguments["embsize"],
        heads=arguments["nheads"],
        hidden=arguments["d_hid"],
        layers=arguments["nlayers"],
        bins=arguments.get("n_bins", 51),
        pad_value=float(arguments.get("pad_value", -2)),
    )


def expected_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Return the keys that an embedding needs and their shapes, under torch's names (`in_proj_`, not `Wqkv.`)."""
    width, hidden = architecture.width, architecture.hidden
    shapes: dict[str, tuple[int, ...]] = {
        "encoder.embedding.weight": (architecture.tokens, width),
        "encoder.enc_norm.weight": (width,),
        "encoder.enc_norm.bias": (width,),
        "value_encoder.linear1.weight": (width, 1),
        "value_encoder.linear1.bias": (width,),
        "value_encoder.linear2.weight": (width, width),
        "value_encoder.linear2.bias": (width,),
        "value_encoder.norm.weight": (width,),
        "value_encoder.norm.bias": (width,),
    }
    for index in range(architecture.layers):
        layer = f"transformer_encoder.layers.{index}."
        shapes |= {
            f"{layer}self_attn.in_proj_weight": (3 * width, width),
            f"{layer}self_attn.in_proj_bias": (3 * width,),
            f"{layer}self_attn.out_proj.weight": (width, width),
            f"{layer}self_attn.out_proj.bias": (width,),
            f"{layer}linear1.weight": (hidden, width),
            f"{layer}linear1.bias": (hidden,),
            f"{layer}linear2.weight": (width, hidden),
            f"{layer}linear2.bias": (width,),
        }
        for norm in ("norm1", "norm2"):
            shapes |= {f"{layer}{norm}.weight": (width,), f"{layer}{norm}.bias": (width,)}
    return shapes


def _read_weights(path: Path, architecture: Architecture) -> dict[str, torch.Tensor]:
    # weights_only: a checkpoint is data from elsewhere and must not be able to run code
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise ValueError(
            f"{path} holds more than weights, and is not opened; use the best_model.pt of the official download."
        ) from error
    if not isinstance(stored, dict) or not all(isinstance(value, torch.Tensor) for value in stored.values()):
        raise ValueError(f"{path} is not a plain table of tensors; use the best_model.pt of the official download.")
    # flash-attention names the joint projection Wqkv; its order is torch's: queries, keys, values
    stored = {key.replace(".self_attn.Wqkv.", ".self_attn.in_proj_"): value for key, value in stored.items()}
    expected = expected_shapes(architecture)
    problems = [f"{key} is missing" for key in expected if key not in stored]
    problems += [f"{key} is unknown" for key in stored if key not in expected and not key.startswith(UNUSED)]
    problems += [
        f"{key} has shape {tuple(stored[key].shape)}, not {shape}"
        for key, shape in expected.items()
        if key in stored and tuple(stored[key].shape) != shape
    ]
    if problems:
        raise ValueError(
            f"the weights in {path} do not fit args.json and vocab.json ({len(problems)} differences: "
            f"{'; '.join(problems)}); take all three files from one download."
        )
    return {key: stored[key].float() for key in expected}
