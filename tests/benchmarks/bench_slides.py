"""Slides: reading, encoding, memory and segmentation, beside OpenSlide + Pillow + DataLoader + timm in the same run.

All on generated slides of 20,480 x 16,384 pixels, deleted at the end (about 1 GB). Times are CPU time, children
included, since other work on the machine moves wall time but hardly CPU time; rounds are interleaved and the median is
reported.
"""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import simplejpeg
import torch

from pathgptomic.slides.encode import make_encoder
from pathgptomic.slides.encoders import build, load
from pathgptomic.slides.grid import Grid, lay_grid
from pathgptomic.slides.quality import share
from pathgptomic.slides.reader import Slide
from pathgptomic.slides.registry import card
from pathgptomic.slides.scene import BLUR, FOLD, SCALE, TISSUE, make_scene
from pathgptomic.slides.survey import TileSettings, judge, survey
from pathgptomic.slides.synthetic import write_slide
from pathgptomic.slides.tiff import JPEG
from pathgptomic.slides.tiles import stream
from pathgptomic.slides.tissue import CLAM, TRIDENT, TissueSettings, find_tissue
from pathgptomic.timm_weights import embedded_weights
from tests.benchmarks.slides_reference import encode, read_in_processes

FOLDER = Path("results/benchmarks/slides")
WIDTH, HEIGHT, MPP, SEED = 20480, 16384, 0.2525, 11
TILES, ENCODED, ROUNDS = 320, 48, 3
READERS = {
    "tiles_420_w1": ("jpeg-420", 1, 2.2),
    "tiles_420_w2": ("jpeg-420", 2, 2.2),
    "tiles_444_w1": ("jpeg-rgb", 1, 2.2),
    "tiles_444_w2": ("jpeg-rgb", 2, 2.2),
    "tiles_j2k_w1": ("jpeg2000", 1, 1.0),
}


def rows() -> list[dict]:
    """Return one row a bar."""
    torch.set_num_threads(1)
    try:
        return [
            *(_reading(name, *settings) for name, settings in READERS.items()),
            *_features(),
            _memory(),
            _segmentation(),
        ]
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)


def slide(codec: str, width: int = WIDTH, height: int = HEIGHT) -> Path:
    """Return a slide, written if it is not there yet."""
    path = FOLDER / f"{codec}-{width}x{height}.svs"
    if not path.is_file():
        write_slide(path, width=width, height=height, mpp=MPP, codec=codec, seed=SEED)
    return path


def cpu_seconds() -> float:
    """Return the CPU time of this process, of its living children and of those that have ended."""
    own = sum(resource.getrusage(resource.RUSAGE_SELF)[:2]) + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    return own + sum(sum(child.cpu_times()[:2]) for child in psutil.Process().children(recursive=True))


def _cost(work: Callable[[], object]) -> tuple[float, float]:
    """Return CPU and wall seconds of a piece of work."""
    cpu, wall = cpu_seconds(), time.perf_counter()
    work()
    return cpu_seconds() - cpu, time.perf_counter() - wall


def _interleaved(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, tuple[float, float]]:
    """Return the medians of CPU and wall seconds of several pieces of work, done in turn."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            taken[name].append(_cost(work))
    return {name: tuple(map(statistics.median, zip(*costs, strict=True))) for name, costs in taken.items()}


def _tissue_tiles(path: Path, size: int, count: int) -> Grid:
    """Return `count` tiles of tissue in rows, at 0.5 microns per pixel, unaligned with the compressed tiles."""
    with Slide(path) as opened:
        grid = lay_grid(opened, slide_mpp=MPP, mpp=0.5, size=size, stride=size)
        scene = make_scene(width=WIDTH, height=HEIGHT, mpp=MPP, density=0, seed=SEED)
        inside = np.flatnonzero(share(scene.classes == TISSUE, grid, SCALE) > 0.99)
    return grid.keep(inside[:count])


def _reading(name: str, codec: str, workers: int, goal: float) -> dict:
    path = slide(codec)
    grid = _tissue_tiles(path, 256, TILES)

    def ours() -> None:
        with Slide(path) as opened:
            for _ in stream(opened, grid, threads=workers):
                pass

    works = {"ours": ours, "reference": lambda: read_in_processes(path, grid, workers)}
    if codec != "jpeg2000":
        works["decode"] = _decoding(path, grid)
    cost = _interleaved(works, ROUNDS)
    milliseconds = {who: 1e3 * cpu / len(grid) for who, (cpu, _) in cost.items()}
    rates = {who: len(grid) / wall for who, (_, wall) in cost.items()}
    limit = f"; {milliseconds['decode'] / milliseconds['ours']:.2f} of pure JPEG decoding" if "decode" in cost else ""
    return {
        "name": name,
        "ours": milliseconds["ours"],
        "reference": milliseconds["reference"],
        "ratio": milliseconds["reference"] / milliseconds["ours"],
        "goal": goal,
        "unit": "CPU ms a tile",
        "conditions": f"{len(grid)} tiles of {grid.side} px to 256, {codec}, {workers} workers; wall "
        f"{rates['ours']:.0f} against {rates['reference']:.0f} tiles/s{limit}",
    }


def _decoding(path: Path, grid: Grid) -> Callable[[], None]:
    """Return the decoding of every compressed tile under the grid, once, from memory: the limit for any reader."""
    with Slide(path) as opened:
        level = opened.tiled(grid.level)
        assert level.compression == JPEG
        side = level.tile_width
        first, last = grid.origins // side, (grid.origins + grid.side - 1) // side
        under = {
            (row, column)
            for (left, top), (right, bottom) in zip(first, last, strict=True)
            for row in range(top, bottom + 1)
            for column in range(left, right + 1)
        }
        parts = []
        for row, column in sorted(under):
            index = row * level.columns + column
            data = os.pread(level.descriptor, int(level.lengths[index]), int(level.offsets[index]))
            parts.append(data[:2] + level.head + data[2:])

    def work() -> None:
        for part in parts:
            simplejpeg.decode_jpeg(part, colorspace="RGB")

    return work


def _features() -> list[dict]:
    """ResNet50 from slide to features, against the plain loop with the same weights; agreement with real weights."""
    path, name = slide("jpeg-420"), "timm:resnet50"
    grid, known = _tissue_tiles(path, 224, ENCODED), card(name)
    weights = FOLDER / "resnet50.pth"
    torch.manual_seed(0)
    plain = build(known)
    torch.save(plain.state_dict(), weights)
    forms = {
        "features_cpu_fast": make_encoder(name=name, weights=str(weights), tile=224, device="cpu", backend="openvino"),
        "features_cpu_f32": make_encoder(name=name, weights=str(weights), tile=224, device="cpu"),
    }
    settings = TileSettings(224, 224, 0.5)

    def ours(run: Callable) -> Callable[[], None]:
        def work() -> None:
            with Slide(path) as opened:
                for batch in stream(opened, grid):
                    judge(batch.tiles, np.full(3, 243.0), settings.quality)
                    run(batch.tiles)

        return work

    works = {form: ours(encoder.run) for form, encoder in forms.items()}
    works["reference"] = lambda: encode(path, grid, plain, known.colour)
    cost = {form: 1e3 * cpu / len(grid) for form, (cpu, _) in _interleaved(works, ROUNDS).items()}
    tiles = _tiles(path, grid)
    own = {
        form: _cosine(encoder.run(tiles), encode(path, grid, plain, known.colour)) for form, encoder in forms.items()
    }
    agreement = _agreement(path, grid)
    return [
        {
            "name": form,
            "ours": cost[form],
            "reference": cost["reference"],
            "ratio": cost["reference"] / cost[form],
            "goal": {"features_cpu_fast": 2.5, "features_cpu_f32": 1.1}[form],
            "unit": "CPU ms a tile",
            "conditions": f"ResNet50, {len(grid)} tiles, {forms[form].how}, processor with {_abilities()}; smallest "
            f"cosine {own[form]:.5f} (random weights), {agreement[form]}",
        }
        for form in forms
    ]


def _abilities() -> str:
    flags = Path("/proc/cpuinfo").read_text().split()
    return "/".join(name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags)


def _agreement(path: Path, grid: Grid) -> dict[str, str]:
    """Say how well the features of the fast forms agree with those of the plain network, real weights."""
    name = "efficientnet-lite0"
    tiles, known = _tiles(path, grid), card(name)
    reference = encode(path, grid, load(known, embedded_weights()), known.colour)
    found = {}
    for form, backend in (("features_cpu_fast", "openvino"), ("features_cpu_f32", "torch")):
        encoder = make_encoder(name=name, weights=None, tile=224, device="cpu", backend=backend)
        cosine = _cosine(encoder.run(tiles), reference)
        found[form] = f"{cosine:.5f} (real weights of EfficientNet-lite0, {encoder.how})"
    return found


def _tiles(path: Path, grid: Grid) -> np.ndarray:
    with Slide(path) as opened:
        return np.concatenate([batch.tiles for batch in stream(opened, grid)])


def _cosine(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the smallest cosine between two features of a tile."""
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    return float(((found * expected).sum(axis=1) / norms).min())


def _memory() -> dict:
    """Peak memory of both processes on a slide of 60,000 x 50,000 pixels and on one a sixth of its side."""
    peaks = {}
    for width, height in ((60_000, 50_000), (10_000, 8_334)):
        command = [sys.executable, "-m", "tests.benchmarks.slides_memory", str(slide("jpeg-420", width, height))]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[width] = json.loads(run.stdout.splitlines()[-1])
    large, small = peaks[60_000], peaks[10_000]
    return {
        "name": "big_slide_memory",
        "ours": large["gigabytes"],
        "reference": 1.5,
        "ratio": 1.5 / large["gigabytes"],
        "goal": 1.0,
        "unit": "GB resident",
        "conditions": f"60,000 x 50,000 px, {large['tiles']} tiles read and handed over, the default encoder loaded, "
        f"both processes' peaks added; {small['gigabytes']:.2f} GB for 10,000 x 8,334 px ({small['tiles']} tiles)",
    }


def _segmentation() -> dict:
    path = slide("jpeg-420")
    scene = make_scene(width=WIDTH, height=HEIGHT, mpp=MPP, density=0, seed=SEED)
    settings = TileSettings(224, 224, 0.5)
    with Slide(path) as opened:
        cpu = statistics.median(_cost(lambda: survey(opened, settings))[0] for _ in range(5))
        overview = survey(opened, settings).overview
        grid = lay_grid(opened, slide_mpp=MPP, mpp=0.5, size=224, stride=224)
        kept = set(map(tuple, survey(opened, settings).grid.coords))
    truth = share(np.isin(scene.classes, (TISSUE, BLUR, FOLD)), grid, SCALE) >= 0.5
    masks = {
        "ours with pen and folds out": np.array([tuple(at) in kept for at in grid.coords]),
        "ours": share(find_tissue(overview, TissueSettings()), grid, overview.scale) >= 0.5,
        "CLAM": share(find_tissue(overview, CLAM), grid, overview.scale) >= 0.5,
        "TRIDENT otsu": share(find_tissue(overview, TRIDENT), grid, overview.scale) >= 0.5,
    }
    words = [
        f"{who} {(mask & truth).sum() / mask.sum():.3f}/{(mask & truth).sum() / truth.sum():.3f}"
        for who, mask in masks.items()
    ]
    return {
        "name": "segmentation",
        "ours": cpu,
        "reference": 1.5,
        "ratio": 1.5 / cpu,
        "goal": 1.0,
        "unit": "CPU s a slide",
        "conditions": f"overview, tissue, pen, folds and {len(kept)} coordinates of {WIDTH} x {HEIGHT} px; "
        f"precision/recall of tiles with half tissue: {', '.join(words)}",
    }
