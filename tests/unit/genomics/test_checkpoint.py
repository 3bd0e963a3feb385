"""A checkpoint is read whole or not at all."""

import json
from pathlib import Path

import pytest
import torch

from pathgptomic.files import sha256_file
from pathgptomic.genomics.checkpoint import read_checkpoint
from pathgptomic.genomics.scgpt import ScGPT
from pathgptomic.genomics.tiny_checkpoint import TINY, write_checkpoint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path / "scgpt", genes=["TP53", "EGFR", "IDH1"], sizes=TINY, seed=3)
    return tmp_path / "scgpt"


def _change(folder: Path, change) -> None:
    weights = torch.load(folder / "best_model.pt", weights_only=True)
    torch.save(change(weights), folder / "best_model.pt")


def test_both_ways_to_name_the_attention_weights_are_read(folder: Path):
    first = ScGPT(read_checkpoint(folder))
    _change(folder, lambda weights: {key.replace("Wqkv.", "in_proj_"): value for key, value in weights.items()})
    second = ScGPT(read_checkpoint(folder))
    ids, rows = torch.tensor([[4, 0, 1]]), torch.tensor([[0, 7, 50]])
    assert torch.equal(first(ids, rows), second(ids, rows))


def test_heads_of_pretraining_may_be_missing_or_more(folder: Path):
    expected = read_checkpoint(folder).weights
    _change(
        folder,
        lambda weights: (
            {key: value for key, value in weights.items() if not key.startswith(("decoder.", "flag_"))}
            | {"cls_decoder.out_layer.weight": torch.zeros(3, 3)}
        ),
    )
    weights = read_checkpoint(folder).weights
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[key], expected[key]) for key in weights)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: {k: v for k, v in w.items() if "layers.1.norm2.bias" not in k}, "layers.1.norm2.bias is missing"),
        (lambda w: w | {"bn.weight": torch.zeros(64)}, "bn.weight is unknown"),
        (lambda w: w | {"encoder.embedding.weight": torch.zeros(5, 64)}, r"shape \(5, 64\), not \(6, 64\)"),
        (lambda w: {"module." + k: v for k, v in w.items()}, "differences"),
        (lambda w: {"epoch": 3, "model": w}, "not a plain table of tensors"),
    ],
)
def test_weights_that_do_not_fit_stop_with_the_list(folder: Path, change, message: str):
    _change(folder, change)
    with pytest.raises(ValueError, match=message):
        read_checkpoint(folder)


def test_a_checkpoint_cannot_run_code(folder: Path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (folder / "ran",))

    torch.save({"encoder": Evil()}, folder / "best_model.pt")
    with pytest.raises(ValueError, match="holds more than weights, and is not opened"):
        read_checkpoint(folder)
    assert not (folder / "ran").exists()


def test_another_file_than_agreed_is_refused(folder: Path):
    digest = sha256_file(folder / "best_model.pt")
    assert read_checkpoint(folder, sha256=digest.upper()).sha256 == digest
    with pytest.raises(ValueError, match=r"genomics\.sha256 asks for"):
        read_checkpoint(folder, sha256="0" * 64)


def test_other_networks_and_vocabularies_are_refused(folder: Path):
    arguments = json.loads((folder / "args.json").read_text())
    (folder / "args.json").write_text(json.dumps(arguments | {"input_emb_style": "category"}))
    with pytest.raises(ValueError, match="input_emb_style = 'category'"):
        read_checkpoint(folder)
    (folder / "args.json").write_text(json.dumps(arguments))
    vocabulary = json.loads((folder / "vocab.json").read_text())
    (folder / "vocab.json").write_text(json.dumps({**vocabulary, "TP53": 77}))
    with pytest.raises(ValueError, match="do not run from 0 to 5"):
        read_checkpoint(folder)
    (folder / "vocab.json").write_text(json.dumps({"TP53": 0, "<pad>": 1}))
    with pytest.raises(ValueError, match="has no token <cls>"):
        read_checkpoint(folder)
    (folder / "vocab.json").unlink()
    with pytest.raises(ValueError, match=r"lacks vocab\.json"):
        read_checkpoint(folder)
