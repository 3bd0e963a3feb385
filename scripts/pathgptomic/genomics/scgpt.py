"""The scGPT encoder: gene and value embeddings, a post-norm transformer, and the output at ``<cls>``.

One file that reads from top to bottom. Source: Cui et al., "scGPT: toward building a foundation model for single-cell
multi-omics using generative AI", Nat Methods 2024, 21:1470; sizes and key names as in the published checkpoints.

Shapes in comments: B profiles, T tokens (``<cls>`` first), D width, H heads, E = D / H.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pathgptomic.genomics.checkpoint import Architecture, Checkpoint

MAX_VALUE = 512  # the published value encoder clips there
ROWS = 400  # queries at a time whose scores stay in the cache of a core


class Layer(nn.Module):
    """One post-norm transformer layer: x = norm1(x + attention(x)); x = norm2(x + feed_forward(x))."""

    def __init__(self, architecture: Architecture):
        super().__init__()
        width = architecture.width
        self.heads = architecture.heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.up = nn.Linear(width, architecture.hidden)
        self.down = nn.Linear(architecture.hidden, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Return the layer's output (B, T, D); `mask` (B, 1, 1, T) is False at padding, None where there is none."""
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))  # (B, T, 3, H, E)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, H, T, E)
        mixed = attention(q, k, v, mask)  # (B, H, T, E)
        return self._rest(x, mixed.transpose(1, 2).flatten(2))

    def first(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Return the output at the first token only, (B, D).

        One query needs neither the keys nor the values of all tokens: q K' = (q Wk) x', and the mean of the values is
        the projection of the mean of x. The bias of the keys adds the same to every score and drops out.
        """
        wq, wk, wv = self.qkv.weight.unflatten(0, (3, self.heads, -1))  # each (H, E, D)
        bq, _, bv = self.qkv.bias.unflatten(0, (3, self.heads, -1))  # each (H, E)
        q = torch.einsum("bd,hed->bhe", x[:, 0], wq) + bq
        scores = torch.einsum("bhe,hed->bhd", q, wk) @ x.transpose(1, 2) * q.shape[-1] ** -0.5  # (B, H, T)
        if mask is not None:
            scores = scores.masked_fill(~mask[:, 0], -torch.inf)
        mean = scores.softmax(dim=-1) @ x  # (B, H, D)
        mixed = torch.einsum("bhd,hed->bhe", mean, wv) + bv
        return self._rest(x[:, 0], mixed.flatten(1))

    def _rest(self, x: Tensor, mixed: Tensor) -> Tensor:
        # in place: at these sizes a fresh tensor costs as much as the sum
        x = self.norm1(self.out(mixed).add_(x))
        return self.norm2(self.down(self.up(x).relu_()).add_(x))


class ScGPT(nn.Module):
    """A frozen scGPT that turns tokens into one embedding a profile.

    Parameters
    ----------
    checkpoint
        What :func:`pathgptomic.genomics.checkpoint.read_checkpoint` returned.
    dtype
        Type of the transformer's weights and activations. Both embedding tables stay float32.
    """

    def __init__(self, checkpoint: Checkpoint, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.architecture, self.dtype = checkpoint.architecture, dtype
        weights = checkpoint.weights
        # Tokens are normalised one by one and values are few, so both encoders become tables, once.
        self.register_buffer("gene_table", _norm(weights["encoder.embedding.weight"], weights, "encoder.enc_norm"))
        self.register_buffer("value_table", _value_table(weights, self.architecture))
        self.layers = nn.ModuleList(Layer(self.architecture) for _ in range(self.architecture.layers))
        for index, layer in enumerate(self.layers):
            layer.load_state_dict(_layer_state(weights, f"transformer_encoder.layers.{index}."))
        # the last layer costs next to nothing for one token, so it need not round
        self.layers[:-1].to(dtype)
        self.eval().requires_grad_(False)

    @torch.inference_mode()
    def forward(self, ids: Tensor, rows: Tensor, real: Tensor | None = None) -> Tensor:
        """Embed a batch of profiles.

        Parameters
        ----------
        ids
            Token ids (B, T), `<cls>` first.
        rows
            Rows of the value table (B, T): the bin of a gene, 0 for `<cls>` and `<pad>`.
        real
            False at padding (B, T); None where no profile is padded.

        Returns
        -------
        Output at `<cls>` of length 1, float32 (B, D).
        """
        x = (F.embedding(ids, self.gene_table) + F.embedding(rows, self.value_table)).to(self.dtype)  # (B, T, D)
        mask = None if real is None else real[:, None, None, :]
        for layer in self.layers[:-1]:
            x = layer(x, mask)
        return F.normalize(self.layers[-1].first(x.float(), mask), dim=-1)


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Return softmax(q k' / sqrt(E)) v, all (B, H, T, E); `mask` as in :meth:`Layer.forward`.

    PyTorch's own, but in bfloat16 on a CPU: its kernel makes little use there of what a processor has for bfloat16, and
    plain products of matrices take two thirds of its time.
    """
    if q.device.type != "cpu" or q.dtype != torch.bfloat16:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    batch, heads, tokens, width = q.shape
    q = q * width**-0.5  # a power of two in the published sizes: nothing is rounded
    mixed = torch.empty(batch, tokens, heads, width, dtype=q.dtype)
    scores, shares = torch.empty(2, ROWS, tokens, dtype=q.dtype)
    for profile in range(batch):
        padding = None if mask is None else ~mask[profile, 0]  # (1, T)
        for head in range(heads):
            for start in range(0, tokens, ROWS):
                queries = q[profile, head, start : start + ROWS]
                here, share = scores[: len(queries)], shares[: len(queries)]
                torch.mm(queries, k[profile, head].T, out=here)
                if padding is not None:
                    here.masked_fill_(padding, -torch.inf)
                torch.softmax(here, dim=-1, out=share)
                mixed[profile, start : start + len(queries), head] = share @ v[profile, head]
    return mixed.transpose(1, 2)


def _norm(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"])


def _value_table(weights: dict[str, Tensor], architecture: Architecture) -> Tensor:
    """Return the encoded values, (bins, D): row 0 is the padding value, row i is bin i."""
    values = torch.arange(architecture.bins, dtype=torch.float32)
    values[0] = architecture.pad_value
    name = "value_encoder.linear"
    hidden = F.linear(values[:, None].clamp(max=MAX_VALUE), weights[f"{name}1.weight"], weights[f"{name}1.bias"])
    encoded = F.linear(hidden.relu(), weights[f"{name}2.weight"], weights[f"{name}2.bias"])
    return _norm(encoded, weights, "value_encoder.norm")


def _layer_state(weights: dict[str, Tensor], layer: str) -> dict[str, Tensor]:
    names = {"self_attn.out_proj.": "out.", "linear1.": "up.", "linear2.": "down.", "norm1.": "norm1."}
    names |= {"norm2.": "norm2.", "self_attn.in_proj_": "qkv."}
    return {
        ours + kind: weights[layer + theirs + kind] for theirs, ours in names.items() for kind in ("weight", "bias")
    }
