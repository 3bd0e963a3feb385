"""An image network trained inside the fusion model: regions of interest in the place of instance features.

`Pictures` and `ImagePool` stand where `Instances` and `AttentionPool` stand: the trainer pools pictures part by part
with gradient caching, so that the loss over all patients reaches the image network in the memory of a few pictures, and
balances it with the slides branch like any other parameters.

References
----------
Regions and crops: Chen et al., Pathomic Fusion, IEEE TMI 2020. Gradient caching: Gao et al., RepL4NLP 2021.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call

from pathgptomic.survival.layers import Linear
from pathgptomic.survival.pooling import Scale
from pathgptomic.timm_import import import_timm


@dataclass(frozen=True)
class PicturePart:
    """Pictures of some patients: `pictures` uint8 [b, m, s, s, 3], `valid` bool [b, m], `patients` (b,) positions."""

    patients: np.ndarray
    pictures: Tensor
    valid: Tensor


class Pictures:
    """The regions of a cohort, handed out a few patients at a time.

    Parameters
    ----------
    rows
        Array [n, s, s, 3] uint8 (``rois.npy``, memory-mapped).
    table
        ``rois.tsv``: patient_id, row.
    patient_ids
        The cohort's patients in order.
    most
        Pictures in a part; the graph of a part holds the activations of all networks for them.
    """

    def __init__(
        self, rows: np.ndarray, table: pd.DataFrame, patient_ids: Sequence[str], *, most: int, device: torch.device
    ) -> None:
        self.rows, self.device = rows, device
        of_patient = (
            table.dropna(subset="row").groupby("patient_id")["row"].apply(lambda each: np.sort(each.astype(int)))
        )
        self.of_patient = [of_patient.get(name, np.zeros(0, int)) for name in patient_ids]
        self.ranges = np.zeros((1, len(patient_ids), 2), np.int64)
        self.ranges[0, :, 1] = [len(each) for each in self.of_patient]
        self.cut: list[list[int]] = [[]]
        for patient in np.argsort([-len(each) for each in self.of_patient], kind="stable"):
            # the first patient of a part has the most pictures, to which the others are padded
            widest = len(self.of_patient[self.cut[-1][0]]) if self.cut[-1] else 0
            if self.cut[-1] and (len(self.cut[-1]) + 1) * widest > most:
                self.cut.append([])
            self.cut[-1].append(int(patient))

    def parts(self, wanted: np.ndarray | None = None) -> Iterator[PicturePart]:
        """Yield the parts; only those with a patient for whom `wanted` (bool [N]) is true, if it is given."""
        for patients in self.cut:
            if wanted is None or wanted[patients].any():
                yield self._load(np.sort(patients))

    def _load(self, patients: np.ndarray) -> PicturePart:
        sizes = [len(self.of_patient[patient]) for patient in patients]
        pictures = np.zeros((len(patients), max(1, *sizes), *self.rows.shape[1:]), np.uint8)
        valid = np.arange(pictures.shape[1]) < np.array(sizes)[:, None]
        for at, patient in enumerate(patients):
            pictures[at, : sizes[at]] = self.rows[self.of_patient[patient]]
        return PicturePart(patients, *(torch.from_numpy(each).to(self.device) for each in (pictures, valid)))


class ImagePool(nn.Module):
    """K image networks, a linear layer, the mean over a patient's regions: pictures [b, m, s, s, 3] -> [K, b, width].

    Parameters
    ----------
    networks
        K.
    base
        The image network, [n, 3, size, size] -> [n, d]; its parameters are copied K times, its normalisation layers
        keep their running statistics.
    width
        Length of the pooled vector.
    size
        Side of the crops in pixels: drawn at random in training, from the middle otherwise.
    colour
        Mean and standard deviation of the channels that the network expects, from 0 to 1.
    """

    def __init__(
        self,
        networks: int,
        base: nn.Module,
        *,
        width: int,
        size: int,
        colour: tuple[Sequence[float], Sequence[float]],
    ) -> None:
        super().__init__()
        self.width, self.size = width, size
        object.__setattr__(self, "base", base.eval())  # its own parameters are a pattern, not to be trained
        self.names = {name.replace(".", "/"): name for name, _ in base.named_parameters()}
        stacked = {name: base.get_parameter(own) for name, own in self.names.items()}
        self.weights = nn.ParameterDict(
            {name: nn.Parameter(each.detach().repeat(networks, *[1] * each.ndim)) for name, each in stacked.items()}
        )
        with torch.no_grad():
            outputs = base(torch.zeros(1, 3, size, size)).shape[1]
        self.embed = Linear(networks, outputs, width)
        mean, spread = (255 * torch.tensor(each).view(1, 3, 1, 1) for each in colour)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("spread", spread, persistent=False)

    def forward(self, part: PicturePart, scale: Scale | None, keep: Tensor | None = None) -> Tensor:
        """Return the pooled vectors.

        Parameters
        ----------
        part
            Regions of some patients.
        scale
            Not used: pictures have a normalisation of their own.
        keep
            Dropout factors [K, b, width] in training. A patient's factors also seed the changes made to its pictures,
            so that the second pass of gradient caching sees the same ones.
        """
        b, m = part.valid.shape
        pictures = self._prepare(part.pictures, keep)  # [b m, 3, size, size]
        share = (part.valid / part.valid.sum(1, keepdim=True).clamp_min(1)).unsqueeze(-1)  # [b, m, 1]
        pooled = []
        for k in range(len(self.embed.weight)):
            own = {self.names[name]: each[k] for name, each in self.weights.items()}
            features = functional_call(self.base, own, pictures)  # [b m, d]
            embedded = torch.relu(features @ self.embed.weight[k] + self.embed.bias[k])
            pooled.append((embedded.view(b, m, -1) * share).sum(1))
        out = torch.stack(pooled)
        return out if keep is None else out * keep

    def _prepare(self, pictures: Tensor, keep: Tensor | None) -> Tensor:
        flat = pictures.flatten(0, 1).permute(0, 3, 1, 2)
        spare = flat.shape[-1] - self.size
        if keep is None:
            middle = flat[..., spare // 2 : spare // 2 + self.size, spare // 2 : spare // 2 + self.size]
            return (middle.float() - self.mean) / self.spread
        changed = []
        for patient, own in enumerate(pictures):
            bits = (keep[0, patient] > 0).cpu().numpy()
            random = np.random.default_rng(np.packbits(bits))
            changed += [self._change(each.permute(2, 0, 1), random, spare) for each in own]
        return (torch.stack(changed) - self.mean) / self.spread

    def _change(self, picture: Tensor, random: np.random.Generator, spare: int) -> Tensor:
        """Crop, mirror and turn a picture [3, s, s], and change its brightness, contrast and colours a little."""
        top, left = random.integers(0, spare + 1, 2)
        picture = picture[:, top : top + self.size, left : left + self.size].float()
        picture = torch.rot90(picture, int(random.integers(4)), (1, 2))
        picture = picture.flip(2) if random.random() < 0.5 else picture
        brightness, contrast, saturation = random.uniform(0.9, 1.1, 3)
        grey = picture.mean(0, keepdim=True)
        picture = grey + saturation * (picture - grey)
        return (brightness * (picture.mean() + contrast * (picture - picture.mean()))).clamp(0, 255)


def image_network(name: str, weights: str | Path | None = None) -> tuple[nn.Module, tuple]:
    """Return a timm model without its classifier, and the channel means and deviations that it expects.

    Parameters
    ----------
    name
        Name of the model in timm.
    weights
        safetensors file of its pre-trained weights; without it they are random.

    Raises
    ------
    ValueError
        If the file lacks weights of the model.
    """
    model = import_timm().create_model(name, pretrained=False, num_classes=0)
    if weights is not None:
        from safetensors.torch import load_file

        lacking = model.load_state_dict(load_file(weights), strict=False).missing_keys
        if lacking:
            raise ValueError(
                f"{weights} lacks weights of {name}, such as {lacking[0]}; give the file of this very model"
            )
    known = model.pretrained_cfg
    return model.eval(), (tuple(known["mean"]), tuple(known["std"]))
