"""A training epoch at the shapes of Pathomic Fusion's kidney model: all folds stacked against a loop of the usual kind.

The reference is written the way that survival networks are usually trained: one fold after the other, a Dataset that
hands out one patient at a time, a DataLoader that puts batches together, a Cox loss that fills its risk matrix in two
Python loops, the C-index of lifelines on training and test rows at the end of each epoch. Both sides have the same
layers, batch size and number of steps; ours also works out rho and the log-hazards of each branch in every step.
"""

import statistics
import time

import numpy as np
import torch
from lifelines.utils import concordance_index
from torch import nn

from pathgptomic.survival.chunks import STEP_ELEMENTS, step_elements
from pathgptomic.survival.fit import Data, fit
from pathgptomic.survival.network import FusionNetwork, Shape
from pathgptomic.survival.settings import ModelSettings
from pathgptomic.survival.stack import Member, make_block

FOLDS, TRAIN, TEST, BATCH = 15, 1008, 252, 32
OMICS, IMAGE = 362, 32
ROUNDS, EPOCHS = 5, 2
SNN, FUSION, DROPOUT, INPUT_DROPOUT = [64, 48, 32, 32], [64, 64], 0.25, 0.5
NETWORK = {
    "snn": SNN,
    "slides": [],
    "kronecker": 32,
    "fusion": FUSION,
    "dropout": DROPOUT,
    "input_dropout": INPUT_DROPOUT,
}


def rows() -> list[dict]:
    """Return the row of the training epoch."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rng = np.random.default_rng(0)
        omics = rng.normal(size=(TRAIN + TEST, OMICS)).astype(np.float32)
        image = rng.normal(size=(TRAIN + TEST, IMAGE)).astype(np.float32)
        days, event = np.ceil(rng.exponential(1000, TRAIN + TEST)), rng.random(TRAIN + TEST) < 0.32
        ours, loops, matrix = [], [], []
        for each in range(ROUNDS + 1):
            taken = (
                _ours(omics, image, days, event),
                _reference(omics, image, days, event, risk_matrix_by_loops),
                _reference(omics, image, days, event, risk_matrix_at_once),
            )
            if each:  # the first round warms up
                for one, values in zip(taken, (ours, loops, matrix), strict=True):
                    values.append(1e3 * one)
    finally:
        torch.set_num_threads(threads)
    return [
        {
            "name": "train_epoch",
            "ours": statistics.median(ours),
            "reference": statistics.median(loops),
            "ratio": statistics.median(b / a for a, b in zip(ours, loops, strict=True)),
            "goal": 7.5,
            "unit": "ms per epoch and fold",
            "conditions": (
                f"{TRAIN} training and {TEST} test rows, {OMICS} + {IMAGE} inputs, batch {BATCH}, Kronecker 33 x 33, "
                f"{FOLDS} folds stacked against one after the other, C-index of both parts each epoch, one thread, CPU "
                f"seconds, medians of {ROUNDS} interleaved rounds of {EPOCHS} epochs (ours) and 1 epoch of 1 fold; "
                f"reference with its risk matrix made at once instead of in loops: {statistics.median(matrix):.3g} ms, "
                f"ratio {statistics.median(b / a for a, b in zip(ours, matrix, strict=True)):.3g}"
            ),
        }
    ]


def _ours(omics: np.ndarray, image: np.ndarray, days: np.ndarray, event: np.ndarray) -> float:
    """Return the seconds of an epoch of one fold, all folds stacked."""
    settings = ModelSettings.from_dict(
        {
            "modalities": ["cnv", "slides"],
            "fusion": "kronecker",
            "network": NETWORK,
            "loss": {"risk_set": "batch", "batch_size": BATCH},
            "training": {"epochs": EPOCHS, "early_stopping": False, "learning_rate": 1e-4},
        }
    )
    shape = Shape({"snn": OMICS, "slides": IMAGE})
    stacked = min(STEP_ELEMENTS["cpu"] // step_elements(shape, settings, BATCH), FOLDS)  # as train_model would
    train, test = np.arange(TRAIN), np.arange(TRAIN, TRAIN + TEST)
    taken = 0.0
    for first in range(0, FOLDS, stacked):
        networks = [Member(fold, 1, 0, train, test, test) for fold in range(FOLDS)[first : first + stacked]]
        count, device = len(networks), torch.device("cpu")
        tables = [{"snn": omics, "slides": image}] * count
        blocks = [make_block([rows] * count, tables, {}, device) for rows in (train, test, test)]
        network = FusionNetwork(count, shape, settings)
        start = time.process_time()
        fit(network, Data(*blocks, days, event), networks, settings, seed=1, batches=-(-TRAIN // BATCH))
        taken += time.process_time() - start
    return taken / EPOCHS / FOLDS


class Patients(torch.utils.data.Dataset):
    """One patient at a time."""

    def __init__(self, omics: np.ndarray, image: np.ndarray, days: np.ndarray, event: np.ndarray) -> None:
        self.omics, self.image, self.days, self.event = omics, image, days, event

    def __len__(self) -> int:
        return len(self.days)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, ...]:
        return (
            torch.tensor(self.omics[index]),
            torch.tensor(self.image[index]),
            torch.tensor(self.days[index]).float(),
            torch.tensor(self.event[index]).float(),
        )


class PlainFusion(nn.Module):
    """The layers of ours, for one fold."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Dropout(INPUT_DROPOUT)]
        for inputs, outputs in zip([OMICS, *SNN], SNN, strict=False):
            layers += [nn.Linear(inputs, outputs), nn.ELU(), nn.AlphaDropout(DROPOUT)]
        self.snn = nn.Sequential(*layers)
        self.first, self.second = nn.Linear(32, 32), nn.Linear(IMAGE, 32)
        self.gate_first, self.gate_second = nn.Linear(64, 32), nn.Linear(64, 32)
        self.fusion = nn.Sequential(
            nn.Linear(33 * 33, 64), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(64, 64), nn.ReLU(), nn.Dropout(DROPOUT)
        )
        self.head = nn.Linear(64, 1, bias=False)

    def forward(self, omics: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        genes = self.snn(omics)
        both = torch.cat([genes, image], 1)
        a = torch.sigmoid(self.gate_first(both)) * nn.functional.elu(self.first(genes))
        b = torch.sigmoid(self.gate_second(both)) * nn.functional.elu(self.second(image))
        one = torch.ones(len(a), 1)
        product = torch.bmm(torch.cat([a, one], 1).unsqueeze(2), torch.cat([b, one], 1).unsqueeze(1)).flatten(1)
        return self.head(self.fusion(product)).squeeze(1)


def risk_matrix_by_loops(days: torch.Tensor) -> torch.Tensor:
    """Return who is at risk at whose time, [n, n]."""
    at_risk = np.zeros((len(days), len(days)))
    for i in range(len(days)):
        for j in range(len(days)):
            at_risk[i, j] = days[j] >= days[i]
    return torch.from_numpy(at_risk)


def risk_matrix_at_once(days: torch.Tensor) -> torch.Tensor:
    """Return the same without loops."""
    return (days[None, :] >= days[:, None]).double()


def _reference(omics: np.ndarray, image: np.ndarray, days: np.ndarray, event: np.ndarray, risk_matrix) -> float:
    """Return the seconds of an epoch of one fold."""
    parts = [
        Patients(*(each[rows] for each in (omics, image, days, event))) for rows in (slice(TRAIN), slice(TRAIN, None))
    ]
    network = PlainFusion()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4, weight_decay=0.01)
    optimiser.zero_grad()
    start = time.process_time()
    for part, train in zip(parts, (True, False), strict=True):
        network.train(train)
        said, lived, died = [], [], []
        for genes, tiles, time_days, observed in torch.utils.data.DataLoader(part, BATCH, shuffle=train):
            with torch.set_grad_enabled(train):
                log_hazard = network(genes, tiles)
                if train:
                    at_risk = risk_matrix(time_days)
                    share = log_hazard - torch.log((torch.exp(log_hazard)[None, :] * at_risk).sum(1))
                    loss = -(share * observed).sum() / observed.sum().clamp(min=1)
                    optimiser.zero_grad()
                    loss.backward()
                    optimiser.step()
            said.append(log_hazard.detach().numpy())
            lived.append(time_days.numpy())
            died.append(observed.numpy())
        concordance_index(np.concatenate(lived), -np.concatenate(said), np.concatenate(died))
    return time.process_time() - start
