"""What most projects do: OpenSlide read_region and Pillow for every tile, a DataLoader, timm as it comes."""

from multiprocessing import get_context
from pathlib import Path

import numpy as np
import openslide
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from pathgptomic.slides.grid import Grid


def read_tiles(path: Path, grid: Grid, numbers: np.ndarray) -> None:
    """Read and resize some tiles, one by one."""
    with openslide.OpenSlide(path) as slide:
        for number in numbers:
            _tile(slide, grid, int(number))


def _tile(slide: openslide.OpenSlide, grid: Grid, number: int) -> np.ndarray:
    x, y = grid.coords[number]
    picture = slide.read_region((int(x), int(y)), grid.level, (grid.side, grid.side)).convert("RGB")
    return np.array(picture.resize((grid.size, grid.size), Image.Resampling.BILINEAR))


def read_in_processes(path: Path, grid: Grid, workers: int) -> None:
    """Read a grid with one process a worker, each a contiguous part of it."""
    context = get_context("fork")
    parts = np.array_split(np.arange(len(grid)), workers)
    processes = [context.Process(target=read_tiles, args=(path, grid, part)) for part in parts]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        if process.exitcode:
            raise RuntimeError("a reading process of the reference failed")


class Tiles(Dataset):
    """Normalised float tiles; the slide is opened by the worker that reads it."""

    def __init__(self, path: Path, grid: Grid, colour: tuple[tuple[float, ...], tuple[float, ...]]):
        self.path, self.grid, self.slide = path, grid, None
        self.mean, self.spread = (torch.tensor(values).view(3, 1, 1) for values in colour)

    def __len__(self) -> int:
        return len(self.grid)

    def __getitem__(self, number: int) -> torch.Tensor:
        self.slide = self.slide or openslide.OpenSlide(self.path)
        pixels = torch.from_numpy(_tile(self.slide, self.grid, number)).permute(2, 0, 1).float() / 255
        return (pixels - self.mean) / self.spread


def encode(
    path: Path, grid: Grid, model: torch.nn.Module, colour: tuple[tuple[float, ...], tuple[float, ...]]
) -> np.ndarray:
    """Encode a grid with the plain loop: batches of 32 from one worker."""
    loader = DataLoader(Tiles(path, grid, colour), batch_size=32, num_workers=1, multiprocessing_context="fork")
    with torch.inference_mode():
        return torch.cat([model(batch) for batch in loader]).numpy()
