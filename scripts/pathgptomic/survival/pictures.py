"""Regions of interest as an image network sees them: crops of pictures that stay on the disk, a few at a time.

In training a region gives one crop at a random place, mirrored, turned and changed in colour a little; otherwise it
gives a grid of crops from edge to edge, whose features are averaged.

References
----------
Regions, crops and changes of colour: Chen et al., Pathomic Fusion, IEEE TMI 2020.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

CHANGES = 8  # random bytes that say how a region is changed in one step
JITTER = 0.1  # largest relative change of brightness, contrast and saturation


@dataclass(frozen=True)
class Regions:
    """The regions of a cohort.

    Attributes
    ----------
    rows
        uint8 [regions, side, side, 3], mapped from the file: index it, do not copy it whole.
    of_patient
        Patient -> its rows, ascending.
    """

    rows: np.ndarray
    of_patient: Mapping[str, np.ndarray]

    @classmethod
    def load(cls, path: str | Path) -> Regions:
        """Open ``rois.npy`` (memory-mapped) and the ``rois.tsv`` beside it (patient_id, row).

        Raises
        ------
        ValueError
            If the array holds no square pictures, or the table names rows that it does not have.
        """
        rows = np.load(path, mmap_mode="r")
        if rows.dtype != np.uint8 or rows.ndim != 4 or rows.shape[3] != 3 or rows.shape[1] != rows.shape[2]:
            raise ValueError(
                f"{path} is an array {rows.shape} of {rows.dtype}; it needs to be (n, side, side, 3) uint8"
            )
        beside = Path(path).with_suffix(".tsv")
        table = pd.read_csv(beside, sep="\t", dtype={"patient_id": str}, keep_default_na=False, na_values={"row": [""]})
        table = table.dropna(subset="row").astype({"row": int})
        if not table["row"].between(0, len(rows) - 1).all():
            raise ValueError(f"{beside} names rows that {path} with its {len(rows)} regions does not have")
        return cls(rows, {name: np.sort(each) for name, each in table.groupby("patient_id")["row"]})

    @property
    def side(self) -> int:
        """Side of a region in pixels."""
        return self.rows.shape[1]

    def present(self, patient_ids: Sequence[str]) -> np.ndarray:
        """Return which patients have a region, bool (patients,)."""
        return np.array([name in self.of_patient for name in patient_ids], bool)


@dataclass(frozen=True)
class PicturePart:
    """Some crops.

    Attributes
    ----------
    patients
        Positions in the cohort of the patients that they belong to, (b,).
    crops
        uint8 [n, 3, crop, crop].
    share
        Weight of each crop in its patient's mean, [b, n].
    colour
        Factors of brightness, contrast and saturation, [n, 3]; None leaves the colours.
    """

    patients: np.ndarray
    crops: Tensor
    share: Tensor
    colour: Tensor | None


class Pictures:
    """The crops of a cohort, handed out a few at a time.

    Parameters
    ----------
    regions, patient_ids
        The regions, and the cohort's patients in order.
    crop
        Side of a crop in pixels.
    most
        Crops in a part, which bound the memory of a step.
    device
        Where parts are put.

    Raises
    ------
    ValueError
        If the regions are smaller than a crop.
    """

    def __init__(
        self, regions: Regions, patient_ids: Sequence[str], *, crop: int, most: int, device: torch.device
    ) -> None:
        if crop > regions.side:
            raise ValueError(
                f"regions of {regions.side} pixels are smaller than a crop of {crop}: lower `rois.crop` of the model, "
                "or cut larger regions (slides.rois.size)"
            )
        self.regions, self.crop, self.most, self.device = regions, crop, most, device
        rows = [regions.of_patient.get(name, np.zeros(0, int)) for name in patient_ids]
        self.count = np.array([len(each) for each in rows], int)  # (N,) regions of a patient
        self.row = np.concatenate([np.zeros(0, int), *rows])  # (R,)
        self.patient = np.repeat(np.arange(len(rows)), self.count)  # (R,)
        starts = _starts(regions.side, crop)
        self.grid = [(top, left) for top in starts for left in starts]

    def parts(self, wanted: np.ndarray, changes: np.ndarray | None = None) -> Iterator[PicturePart]:
        """Yield the crops of the patients for whom `wanted` (bool [N]) is true.

        Parameters
        ----------
        changes
            Random bytes [R, CHANGES] of a training step; None for the unchanged crops of the grid.
        """
        regions = np.flatnonzero(wanted[self.patient])
        crops_each = 1 if changes is not None else len(self.grid)
        for start in range(0, len(regions) * crops_each, self.most):
            items = np.arange(start, min(start + self.most, len(regions) * crops_each))
            region, place = regions[items // crops_each], items % crops_each
            if changes is None:
                crops = [self._cut(each, *self.grid[at]) for each, at in zip(region, place, strict=True)]
                yield self._part(region, crops, crops_each, None)
            else:
                crops = [self._changed(each, changes[each]) for each in region]
                yield self._part(region, crops, crops_each, changes[region, 5:])

    def _cut(self, region: int, top: int, left: int) -> np.ndarray:
        return self.regions.rows[self.row[region], top : top + self.crop, left : left + self.crop]

    def _changed(self, region: int, bytes_: np.ndarray) -> np.ndarray:
        """Return a crop at a random place, turned by a multiple of 90 degrees and mirrored or not."""
        places = self.regions.side - self.crop + 1
        top, left = (bytes_[[0, 2]].astype(int) * 256 + bytes_[[1, 3]]) * places // 65536
        crop = np.rot90(self._cut(region, top, left), int(bytes_[4]) % 4)
        return crop[:, ::-1] if bytes_[4] & 4 else crop

    def _part(
        self, region: np.ndarray, crops: Sequence[np.ndarray], crops_each: int, colour: np.ndarray | None
    ) -> PicturePart:
        patients, place = np.unique(self.patient[region], return_inverse=True)
        share = np.zeros((len(patients), len(region)), np.float32)
        share[place, np.arange(len(region))] = 1 / (self.count[patients[place]] * crops_each)
        stacked = torch.from_numpy(np.ascontiguousarray(np.stack(crops).transpose(0, 3, 1, 2)))
        factors = None
        if colour is not None:
            factors = torch.from_numpy(1 + JITTER * (colour.astype(np.float32) / 127.5 - 1)).to(self.device)
        return PicturePart(patients, stacked.to(self.device), torch.from_numpy(share).to(self.device), factors)


def change_colours(crops: Tensor, factors: Tensor) -> Tensor:
    """Return crops [n, 3, s, s] of 0 to 255 in another brightness, contrast and saturation, `factors` [n, 3]."""
    brightness, contrast, saturation = factors[:, :, None, None, None].unbind(1)
    grey = crops.mean(1, keepdim=True)
    crops = grey + saturation * (crops - grey)
    mean = crops.mean((1, 2, 3), keepdim=True)
    return (brightness * (mean + contrast * (crops - mean))).clamp(0, 255)


def _starts(side: int, crop: int) -> list[int]:
    """Return where crops begin that cover a side from edge to edge without overlap; one stands in the middle."""
    count = side // crop
    if count == 1:
        return [(side - crop) // 2]
    return [round(start) for start in np.linspace(0, side - crop, count)]
