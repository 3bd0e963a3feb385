"""The network against torch's own transformer layers, and half precision against float32."""

from pathlib import Path

import pytest
import torch
from torch import nn

from pathgptomic.genomics.checkpoint import Checkpoint, read_checkpoint
from pathgptomic.genomics.scgpt import ROWS, ScGPT, attention
from pathgptomic.genomics.tiny_checkpoint import write_checkpoint

SIZES = {"width": 32, "heads": 4, "hidden": 48, "layers": 3}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder: Path = tmp_path_factory.mktemp("scgpt") / "random"
    write_checkpoint(folder, genes=[f"G{number}" for number in range(200)], sizes=SIZES, seed=5)
    return read_checkpoint(folder)


def _torch_transformer(checkpoint: Checkpoint, x: torch.Tensor, padding: torch.Tensor) -> torch.Tensor:
    """Run torch's own layers, in float64, over embedded tokens."""
    for index in range(SIZES["layers"]):
        layer = nn.TransformerEncoderLayer(SIZES["width"], SIZES["heads"], SIZES["hidden"], batch_first=True)
        prefix = f"transformer_encoder.layers.{index}."
        layer.load_state_dict(
            {key.removeprefix(prefix): value for key, value in checkpoint.weights.items() if key.startswith(prefix)}
        )
        x = layer.double().eval()(x, src_key_padding_mask=padding)
    return nn.functional.normalize(x[:, 0], dim=-1)


@pytest.fixture(scope="module")
def batch() -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(200, (5, 23), generator=generator)
    rows = torch.randint(1, 51, (5, 23), generator=generator)
    ids[:, 0], rows[:, 0] = 201, 0
    real = torch.arange(23) < torch.tensor([23, 20, 9, 2, 1])[:, None]
    return ids, rows, real


def test_embeddings_equal_those_of_torch_layers(checkpoint: Checkpoint, batch: tuple[torch.Tensor, ...]):
    ids, rows, real = batch
    model = ScGPT(checkpoint)
    x = (model.gene_table[ids] + model.value_table[rows]).double()
    expected = _torch_transformer(checkpoint, x, ~real)
    assert (model(ids, rows, real) - expected).abs().max() < 1e-6
    for line in range(len(ids)):
        length = int(real[line].sum())
        alone = model(ids[line : line + 1, :length], rows[line : line + 1, :length])
        assert (alone[0] - expected[line]).abs().max() < 1e-6


def test_the_order_of_genes_does_not_matter(checkpoint: Checkpoint, batch: tuple[torch.Tensor, ...]):
    ids, rows, _ = batch
    model = ScGPT(checkpoint)
    order = torch.cat([torch.zeros(1, dtype=torch.long), 1 + torch.randperm(22)])
    assert (model(ids, rows) - model(ids[:, order], rows[:, order])).abs().max() < 1e-6


def test_half_precision_stays_close(checkpoint: Checkpoint, batch: tuple[torch.Tensor, ...]):
    exact, rough = ScGPT(checkpoint)(*batch), ScGPT(checkpoint, torch.bfloat16)(*batch)
    assert rough.dtype == torch.float32
    assert (exact * rough).sum(dim=1).min() > 0.9995


@pytest.mark.parametrize("masked", [False, True])
def test_attention_in_bfloat16_is_that_of_torch(masked: bool):
    """More tokens than are taken at a time, so that every block is seen."""
    tokens = 2 * ROWS + 30
    q, k, v = torch.randn(3, 2, 3, tokens, 16, generator=torch.Generator().manual_seed(2)).bfloat16()
    mask = None
    if masked:
        mask = (torch.arange(tokens) < torch.tensor([tokens, ROWS - 7])[:, None])[:, None, None]
    ours = attention(q, k, v, mask).float()
    exact = nn.functional.scaled_dot_product_attention(q.float(), k.float(), v.float(), attn_mask=mask)
    assert (ours - exact).abs().max() < 0.02
    assert nn.functional.cosine_similarity(ours, exact, dim=-1).min() > 0.999
