"""MLP-A of Path-GPTOmic and its rivals: small networks from a frozen scGPT embedding to an adapted one.

Source: Path-GPTOmic (arXiv 2403.11375) section 2.1: a perceptron of three layers, 128 wide, whose output meets a linear
layer that predicts the label fractions of a mixture; what follows downstream is the output before that layer. What the
paper leaves open (activation, normalisation of the input) is chosen here: ReLU, and inputs standardised on the training
mixtures, since embeddings of length 1 have entries of about 0.04.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SUPERVISED = ("mixup", "embedding-mixup", "dropout", "batchnorm", "noise")
# How an adapter is learned, and from which form of profiles unless it says otherwise.
METHODS = {
    "none": "",  # the frozen embedding as it is
    "mixup": "pairs",  # mixed expression, soft labels (the paper)
    "embedding-mixup": "cells",  # mixed embeddings of single cells, soft labels
    "dropout": "cells",  # single cells, dropout
    "batchnorm": "cells",  # single cells, batch normalisation
    "noise": "cells",  # single cells, Gaussian noise on the embedding
    "vae": "cells",  # single cells, variational autoencoder, no labels
    "pca": "pairs",  # principal components, no labels
}


@dataclass(frozen=True)
class AdapterSettings:
    """What an adapter is (one entry of ``genomics.adapters``), with the sizes of the paper."""

    method: str
    width: int = 128
    loss: str = "mse"  # mse | cross_entropy
    dropout: float = 0.5
    noise: float = 0.5  # standard deviation, in units of the standardised embedding
    beta: float = 1e-3  # weight of the Kullback-Leibler term of the autoencoder


class Adapter(nn.Module):
    """A trained (or to be trained) adapter with its standardisation and its linear read-out of cell-type fractions.

    Parameters
    ----------
    settings
        Method and sizes.
    inputs
        Width of the frozen embedding.
    types
        Names of the cell types.
    generator
        Source of the initial weights.
    """

    def __init__(self, settings: AdapterSettings, inputs: int, types: list[str], generator: torch.Generator):
        super().__init__()
        self.settings, self.types = settings, types
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(inputs))
        width = settings.width
        if settings.method == "none":
            width = inputs
        elif settings.method == "pca":
            self.register_buffer("components", torch.zeros(width, inputs))
        else:
            latent = 2 * width if settings.method == "vae" else width
            self.layers = nn.ModuleList([nn.Linear(inputs, width), nn.Linear(width, width), nn.Linear(width, latent)])
            if settings.method == "batchnorm":
                self.norms = nn.ModuleList([nn.BatchNorm1d(width), nn.BatchNorm1d(width)])
            if settings.method == "vae":
                self.decoder = nn.ModuleList([nn.Linear(width, width), nn.Linear(width, inputs)])
        self.outputs = width
        self.readout = nn.Linear(width, len(types))
        _initialise(self, generator)

    def standardise(self, x: Tensor) -> Tensor:
        """Return the frozen embedding (n, inputs) in units of the training profiles."""
        return (x - self.mean) / self.scale

    def hidden(self, x: Tensor, drop: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Return the output of the last layer for standardised input: (n, width), or mean and log-variance of a VAE."""
        for number, layer in enumerate(self.layers):
            x = layer(x)
            if number < len(self.layers) - 1:
                if self.settings.method == "batchnorm":
                    x = self.norms[number](x)
                x = F.relu(x)
                x = x if drop is None else drop(x)
        return x

    @torch.inference_mode()
    def embed(self, x: Tensor) -> Tensor:
        """Return the adapted embedding (n, outputs) of a frozen one (n, inputs)."""
        if self.settings.method == "none":
            return x
        x = self.standardise(x)
        if self.settings.method == "pca":
            return x @ self.components.T
        return self.hidden(x)[:, : self.outputs]

    @torch.inference_mode()
    def fractions(self, x: Tensor) -> Tensor:
        """Return the cell-type fractions (n, types) that the read-out predicts; they may leave [0, 1] under MSE."""
        out = self.readout(self.embed(x))
        return out.softmax(dim=1) if self.settings.loss == "cross_entropy" else out


def fraction_loss(predicted: Tensor, wanted: Tensor, loss: str) -> Tensor:
    """Return the loss of predicted fractions (n, types).

    ``mse``: the paper's regression. ``cross_entropy``: Kullback-Leibler divergence, which is the soft cross-entropy
    less the entropy of the label, so that 0 is perfect.
    """
    if loss == "mse":
        return F.mse_loss(predicted, wanted)
    return F.kl_div(predicted.log_softmax(dim=1), wanted, reduction="batchmean")


def save_adapter(adapter: Adapter, folder: Path, **facts: object) -> None:
    """Write weights (safetensors) and what they are (json) into a folder."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in adapter.state_dict().items()}, folder / "adapter.safetensors")
    content = {
        "settings": asdict(adapter.settings),
        "inputs": len(adapter.mean),
        "outputs": adapter.outputs,
        "types": adapter.types,
        **facts,
    }
    (folder / "adapter.json").write_text(json.dumps(content, indent=1))


def load_adapter(folder: str | Path) -> tuple[Adapter, dict]:
    """Read what :func:`save_adapter` wrote: the adapter, ready to embed, and its facts."""
    from safetensors.torch import load_file

    facts = json.loads((Path(folder) / "adapter.json").read_text(encoding="utf-8"))
    settings = AdapterSettings(**facts["settings"])
    adapter = Adapter(settings, facts["inputs"], facts["types"], torch.Generator())
    adapter.load_state_dict(load_file(Path(folder) / "adapter.safetensors"))
    return adapter.eval().requires_grad_(False), facts


def _initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Draw the weights of every linear layer as torch does by default, but from a generator of our own."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            bound = part.in_features**-0.5
            with torch.no_grad():
                part.weight.uniform_(-bound, bound, generator=generator)
                part.bias.uniform_(-bound, bound, generator=generator)
