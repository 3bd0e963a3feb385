"""Train an adapter on the cached embeddings of labelled profiles, with early stopping on held-out donors."""

import logging
from dataclasses import dataclass

import h5py
import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from pathgptomic.files import atomic
from pathgptomic.genomics.adapter import METHODS, Adapter, AdapterSettings, fraction_loss, save_adapter
from pathgptomic.seeds import torch_generator

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainSettings:
    """How an adapter is trained (the rest of an entry of ``genomics.adapters``)."""

    form: str = ""  # cells | pairs | pseudobulk; empty: what the method is usually trained on
    epochs: int = 100
    patience: int = 10
    batch: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4


@dataclass(frozen=True)
class Labelled:
    """Labelled profiles: frozen embeddings (n, inputs), fractions (n, types), and a table of form, part and cells."""

    x: Tensor
    y: Tensor
    table: pd.DataFrame
    types: list[str]

    def take(self, form: str, part: str) -> tuple[Tensor, Tensor]:
        """Return embeddings and fractions of one form and part."""
        rows = torch.from_numpy(((self.table["form"] == form) & (self.table["part"] == part)).to_numpy())
        return self.x[rows], self.y[rows]


def read_labelled(mixtures: str, embeddings: str) -> Labelled:
    """Read the labels of mixtures and the embeddings made from them; profiles without embedding are left out."""
    from anndata.io import read_elem

    with h5py.File(mixtures, "r") as file:
        table = read_elem(file["obs"])
        fractions = pd.DataFrame(read_elem(file["obsm"]["fractions"]), index=table.index)
        types = [str(name) for name in read_elem(file["uns"]["cell_types"])]
    vectors = pd.read_parquet(embeddings)
    table = table.loc[table.index.intersection(vectors.index, sort=False)]
    x = torch.from_numpy(vectors.loc[table.index].to_numpy(dtype=np.float32))
    return Labelled(x, torch.from_numpy(fractions.loc[table.index].to_numpy(dtype=np.float32)), table, types)


def train_adapter(
    *, mixtures: str, embeddings: str, settings: dict, training: dict, seed: int, folder: str, history: str
) -> None:
    """Train an adapter and write it.

    Parameters
    ----------
    mixtures, embeddings
        Labelled profiles and their frozen embeddings.
    settings, training
        Fields of :class:`AdapterSettings` and of :class:`TrainSettings`.
    seed
        Seed of the run; the result is the same to the bit on the same machine.
    folder
        Folder to write: adapter.safetensors, adapter.json.
    history
        Table to write: epoch, train, validation (losses), kept (the epoch that was kept).
    """
    torch.set_num_threads(1)  # the matrices are small, and sums over threads would not be the same to the bit
    chosen, schedule = AdapterSettings(**settings), TrainSettings(**training)
    data = read_labelled(mixtures, embeddings)
    form = schedule.form or METHODS[chosen.method] or str(data.table["form"].iloc[0])
    if form not in set(data.table["form"]):
        raise ValueError(
            f"the adapter method '{chosen.method}' is trained on the form '{form}', but {mixtures} has "
            f"{', '.join(sorted(set(data.table['form'])))}; add the form to the reference's mixtures."
        )
    adapter = Adapter(chosen, data.x.shape[1], data.types, torch_generator(seed, "adapter weights"))
    x, y = data.take(form, "train")
    adapter.mean, adapter.scale = x.mean(dim=0), x.std(dim=0).clamp(min=1e-6)
    if chosen.method == "none":
        rows = []
    elif chosen.method == "pca":
        adapter.components = _principal_components(adapter.standardise(x), chosen.width)
        rows = []
    else:
        rows = _fit(adapter, (x, y), data.take(form, "validation"), schedule, seed)
    with atomic(folder) as temporary:
        save_adapter(adapter.eval(), temporary, form=form, seed=seed)
    with atomic(history) as temporary:
        pd.DataFrame(rows, columns=["epoch", "train", "validation", "kept"]).to_csv(temporary, sep="\t", index=False)


def _fit(
    adapter: Adapter, train: tuple[Tensor, Tensor], held: tuple[Tensor, Tensor], schedule: TrainSettings, seed: int
) -> list[list[float]]:
    """Train until the loss on held-out donors has not fallen for `patience` epochs; keep the best epoch's weights."""
    optimiser = torch.optim.Adam(adapter.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, schedule.epochs)
    generator = torch_generator(seed, "adapter training")
    x, y = adapter.standardise(train[0]), train[1]
    best, kept, rows = np.inf, {}, []
    for epoch in tqdm(range(1, schedule.epochs + 1), unit="epoch", desc=adapter.settings.method, mininterval=5):
        adapter.train()
        losses = []
        for batch in torch.randperm(len(x), generator=generator).split(schedule.batch):
            if adapter.settings.method == "batchnorm" and len(batch) == 1:
                continue  # one profile has no variance
            loss = training_loss(adapter, x[batch], y[batch], generator)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        decay.step()
        adapter.eval()
        with torch.inference_mode():
            validation = validation_loss(adapter, adapter.standardise(held[0]), held[1]).item()
        rows.append([epoch, float(np.mean(losses)), validation, 0])
        if validation < best:
            best, kept = validation, {key: value.clone() for key, value in adapter.state_dict().items()}
        # the row that is kept is the lowest so far; patience counts from there
        lowest = int(np.argmin([row[2] for row in rows]))
        if epoch - 1 - lowest >= schedule.patience:
            break
    rows[lowest][3] = 1
    adapter.load_state_dict(kept)
    logger.info("%s: epoch %d of %d kept, validation loss %.5f", adapter.settings.method, lowest + 1, len(rows), best)
    return rows


def training_loss(adapter: Adapter, x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
    """Return the method's loss for standardised embeddings (n, inputs) with labels (n, types)."""
    settings = adapter.settings
    if settings.method == "vae":
        mean, log_variance = adapter.hidden(x).chunk(2, dim=1)
        noise = torch.randn(mean.shape, generator=generator)
        return _autoencoder_loss(adapter, x, mean, log_variance, mean + noise * (0.5 * log_variance).exp())
    drop = None
    if settings.method == "embedding-mixup":
        share, other = torch.rand(len(x), 1, generator=generator), torch.randperm(len(x), generator=generator)
        x, y = share * x + (1 - share) * x[other], share * y + (1 - share) * y[other]
    elif settings.method == "noise":
        x = x + settings.noise * torch.randn(x.shape, generator=generator)
    elif settings.method == "dropout":

        def drop(hidden: Tensor) -> Tensor:
            keep = torch.rand(hidden.shape, generator=generator) >= settings.dropout
            return hidden * keep / (1 - settings.dropout)

    return fraction_loss(adapter.readout(adapter.hidden(x, drop)), y, settings.loss)


def validation_loss(adapter: Adapter, x: Tensor, y: Tensor) -> Tensor:
    """Return the loss without anything random, (scalar)."""
    if adapter.settings.method == "vae":
        mean, log_variance = adapter.hidden(x).chunk(2, dim=1)
        return _autoencoder_loss(adapter, x, mean, log_variance, mean)
    return fraction_loss(adapter.readout(adapter.hidden(x)), y, adapter.settings.loss)


def _autoencoder_loss(adapter: Adapter, x: Tensor, mean: Tensor, log_variance: Tensor, latent: Tensor) -> Tensor:
    """Return reconstruction error plus beta times the divergence from the prior (Kingma and Welling 2014)."""
    rebuilt = adapter.decoder[1](adapter.decoder[0](latent).relu())
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1).mean()
    return torch.nn.functional.mse_loss(rebuilt, x) + adapter.settings.beta * divergence


def _principal_components(x: Tensor, width: int) -> Tensor:
    """Return the first principal components of centred data, (width, inputs), each with its largest entry positive."""
    components = torch.linalg.svd(x, full_matrices=False).Vh[:width]
    largest = components.gather(1, components.abs().argmax(dim=1, keepdim=True))
    components = components * largest.sign()
    missing = width - len(components)
    return torch.cat([components, torch.zeros(missing, x.shape[1])]) if missing else components
