"""An image network that is trained with the fusion model: K copies of it, and its gradient in the memory of few crops.

The features of every patient's regions are first made part by part without a graph; the loss gives their gradient; a
second pass makes each part again with a graph and hands it its share of that gradient (gradient caching). The Cox loss
thereby stays exact over all patients, and memory is that of one part of one network.

References
----------
Path-GPTOmic, ISBI 2024, arXiv 2403.11375, section 2.2. Gradient caching: Gao et al., RepL4NLP 2021.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from pathgptomic.seeds import derive
from pathgptomic.survival.design import largest_spread
from pathgptomic.survival.pictures import PicturePart, Pictures, change_colours
from pathgptomic.survival.pooling import Scale
from pathgptomic.survival.settings import RoiSettings
from pathgptomic.survival.stack import gather_rows, mark_rows
from pathgptomic.timm_import import import_timm
from pathgptomic.timm_weights import LITE0, embedded_weights, fill, in_order, read_weights

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageBase:
    """The image network that all copies start from.

    Attributes
    ----------
    network
        timm model without its classifier, [n, 3, crop, crop] -> [n, features]. Its normalisation layers keep the
        running statistics that they came with.
    trained
        Names of the parameters that training changes; the others stay as they are and are shared by the copies.
    features
        Length of a feature vector.
    mean, spread
        Of the colour channels that the network expects, from 0 to 255.
    """

    network: nn.Module
    trained: tuple[str, ...]
    features: int
    mean: tuple[float, ...]
    spread: tuple[float, ...]

    def shared(self) -> dict[str, Tensor]:
        """Return what the copies share: running statistics and the parameters that stay as they are."""
        return {name: each for name, each in self.network.state_dict().items() if name not in self.trained}


def make_base(settings: RoiSettings, seed: int = 0, *, pretrained: bool = True) -> ImageBase:
    """Build the image network and load its weights.

    Parameters
    ----------
    settings
        Section `rois` of a model.
    seed
        Of first weights, where there is no file of pre-trained ones.
    pretrained
        False leaves the weights to the caller, who has them from a bundle.

    Raises
    ------
    ValueError
        If timm has no such model, or the file lacks weights of it.
    """
    network = _build(settings, seed)
    if pretrained:
        _load(network, settings)
    groups = import_timm().models.group_parameters(network, network.group_matcher(coarse=False))
    kept = round(settings.frozen * len(groups))
    stay = {name for layer, names in groups.items() if layer < kept for name in names}
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name not in stay)
    with torch.no_grad():
        features = network(torch.zeros(1, 3, settings.crop, settings.crop)).shape[1]
    mean, spread = (tuple(255 * each for each in network.pretrained_cfg[name]) for name in ("mean", "std"))
    trained = tuple(name for name, each in network.named_parameters() if each.requires_grad)
    return ImageBase(network, trained, features, mean, spread)


def _load(network: nn.Module, settings: RoiSettings) -> None:
    if settings.weights is not None:
        given = _fit_positions(read_weights(Path(settings.weights)), network)
        fill(network, given, name=settings.network, source=settings.weights)
    elif settings.network == LITE0:
        source = embedded_weights()
        fill(network, in_order(read_weights(source), network), name=LITE0, source=source)
    else:
        logger.warning("rois.weights names no file: %s starts from random weights", settings.network)


def _build(settings: RoiSettings, seed: int) -> nn.Module:
    timm = import_timm()
    if not timm.is_model(settings.network.partition(".")[0]):
        raise ValueError(f"timm has no model {settings.network!r}; correct `rois.network` of the model")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "image network"))
        try:  # transformers are built for one size of picture, convolutional networks take any
            network = timm.create_model(settings.network, num_classes=0, img_size=settings.crop)
        except TypeError:
            network = timm.create_model(settings.network, num_classes=0)
    return network.eval()


def _fit_positions(given: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Return weights with the position embedding of a transformer resized to the network's grid of patches."""
    positions, own = given.get("pos_embed"), getattr(network, "pos_embed", None)
    if positions is None or own is None or positions.shape == own.shape:
        return given
    resize = import_timm().layers.resample_abs_pos_embed
    grid, prefix = network.patch_embed.grid_size, network.num_prefix_tokens
    return {**given, "pos_embed": resize(positions, new_size=grid, num_prefix_tokens=prefix)}


class ImageNetworks(nn.Module):
    """K copies of an image network: crops -> the mean feature vector of each patient's regions.

    Parameters
    ----------
    networks
        K.
    base
        What all of them start from.
    """

    def __init__(self, networks: int, base: ImageBase) -> None:
        super().__init__()
        self.networks, self.features = networks, base.features
        object.__setattr__(self, "base", base.network)  # a pattern and what stays as it is: not to be trained or saved
        self.names = {name.replace(".", "/"): name for name in base.trained}
        start = {name: base.network.get_parameter(own).detach() for name, own in self.names.items()}
        self.weights = nn.ParameterDict(
            {name: nn.Parameter(each.repeat(networks, *[1] * each.ndim)) for name, each in start.items()}
        )
        for name, values in (("mean", base.mean), ("spread", base.spread)):
            self.register_buffer(name, torch.tensor(values).view(1, -1, 1, 1), persistent=False)

    def of(self, network: int) -> dict[str, Tensor]:
        """Return the weights of one copy under the names of the image network, cut off from the stacked ones."""
        return {self.names[name]: each[network].detach() for name, each in self.weights.items()}

    def forward(self, part: PicturePart, weights: Mapping[str, Tensor]) -> Tensor:
        """Return the part's share of its patients' mean features under `weights`, [b, features]."""
        crops = part.crops.float()
        if part.colour is not None:
            crops = change_colours(crops, part.colour)
        features = functional_call(self.base, dict(weights), (crops - self.mean) / self.spread)  # [n, features]
        return part.share @ features.float()

    def _apply(self, fn, recurse=True):
        self.base._apply(fn)  # moves to another device with the module
        return super()._apply(fn, recurse)


class CachedPictures:
    """Mean features [K, N, d] of all patients in one step, and the way their gradient takes back.

    Parameters
    ----------
    pool, pictures
        The networks and the crops.
    rows
        Positions of the patients whose features each network needs, [K, n]; -1 is padding.
    changes
        Random bytes [K, R, CHANGES] of the step, the same in both passes; None for unchanged crops.
    """

    def __init__(
        self, pool: ImageNetworks, pictures: Pictures, rows: np.ndarray, changes: np.ndarray | None = None
    ) -> None:
        self.pool, self.pictures, self.changes = pool, pictures, changes
        wanted = mark_rows(rows, len(pictures.count))
        pooled = torch.zeros(*wanted.shape, pool.features, device=pictures.device)
        with torch.no_grad(), repeatable():
            for k in range(pool.networks):
                weights = pool.of(k)
                for part in self._parts(k, wanted[k]):
                    pooled[k, part.patients] += pool(part, weights)
        self.pooled = pooled.requires_grad_()

    def backward(self, gradient: Tensor) -> list[Tensor]:
        """Return the gradients of the pool's parameters, given that of `pooled`."""
        total = {name: torch.zeros_like(each) for name, each in self.pool.weights.items()}
        if not total:
            return []
        wanted = gradient.abs().amax(-1).gt(0).cpu().numpy()
        with repeatable():
            for k in range(self.pool.networks):
                weights = {name: each.requires_grad_() for name, each in self.pool.of(k).items()}
                for part in self._parts(k, wanted[k]):
                    made = self.pool(part, weights)
                    of_part = torch.autograd.grad(
                        made, list(weights.values()), gradient[k, part.patients], allow_unused=True
                    )
                    for sums, each in zip(total.values(), of_part, strict=True):
                        if each is not None:
                            sums[k] += each
        return list(total.values())

    def table(self, rows: np.ndarray, scale: Scale) -> Tensor:
        """Return the standardised features of each network's patients `rows` [K, n] (-1 is padding), [K, n, d]."""
        index = torch.from_numpy(rows).to(self.pooled.device).clamp_min(0)
        return (gather_rows(self.pooled, index) - scale.mean.unsqueeze(1)) / scale.sd.unsqueeze(1)

    def _parts(self, network: int, wanted: np.ndarray) -> Iterator[PicturePart]:
        return self.pictures.parts(wanted, None if self.changes is None else self.changes[network])


def first_scale(base: ImageBase, pictures: Pictures, rows: Sequence[np.ndarray], spread: float) -> Scale:
    """Return how each network reads image features, fitted on its own training patients before training.

    Features get mean 0 and standard deviation 1, then one factor that gives their first principal component the
    standard deviation `spread`, as tables of features do.

    Parameters
    ----------
    rows
        [K] positions of each network's training patients.

    Raises
    ------
    ValueError
        If a network's training patients have no region at all.
    """
    seen = pictures.count > 0
    pool = ImageNetworks(1, base).to(pictures.device)
    values = (
        CachedPictures(pool, pictures, np.flatnonzero(seen)[None]).pooled[0].detach().cpu().numpy()
    )  # [N, features]
    mean, sd = np.zeros((2, len(rows), values.shape[1]), np.float32)
    for k, fitted in enumerate(rows):
        own = values[fitted[seen[fitted]]]
        if not len(own):
            raise ValueError("the training patients of a fold have no region of interest: give those of more patients")
        mean[k], sd[k] = own.mean(axis=0), own.std(axis=0)
        # a feature that hardly varies would be noise made large
        sd[k] = np.maximum(sd[k], max(0.1 * np.sqrt((sd[k] ** 2).mean()), 1e-6))
        sd[k] *= max(largest_spread((own - mean[k]) / sd[k]), 1e-6) / spread
    return Scale(*(torch.from_numpy(each).to(pictures.device) for each in (mean, sd)))


@contextlib.contextmanager
def repeatable() -> Iterator[None]:
    """Let a GPU choose convolutions whose sums do not depend on timing; nothing changes on a CPU."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=True):
        yield
