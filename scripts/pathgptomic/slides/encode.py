"""Run a tile encoder: uint8 tiles in, float32 features out, on a GPU, on a CPU with torch, or with OpenVINO."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pathgptomic.files import sha256_file
from pathgptomic.slides import encoders
from pathgptomic.slides.registry import Card, card
from pathgptomic.slides.scene import SCALE, TISSUE, make_scene
from pathgptomic.timm_weights import embedded_weights

log = logging.getLogger(__name__)

PRECISIONS = ("auto", "float32", "bfloat16", "float16")
CPU_BATCH = 8  # tiles at once on a CPU: more no longer fit its caches and are slower
AGREEMENT = 0.999  # smallest cosine between features of a faster form of the encoder and the plain one
MARGIN = 0.9995  # what the few tiles of the probe must show before a faster form is taken unasked


class Normalised(nn.Module):
    """An encoder with its own normalisation and size in front: uint8 [n, h, w, 3] -> [n, dimension]."""

    def __init__(self, model: nn.Module, colour: tuple[tuple[float, ...], tuple[float, ...]], size: int, tile: int):
        super().__init__()
        self.model, self.size, self.resize = model, size, tile != size
        mean, spread = (255 * torch.tensor(values).view(1, 3, 1, 1) for values in colour)
        self.register_buffer("mean", mean)
        self.register_buffer("scale", 1 / spread)

    def forward(self, tiles: Tensor) -> Tensor:
        """Encode raw tiles."""
        # a permuted view of packed RGB is channels-last, which convolutions like best
        pixels = tiles.permute(0, 3, 1, 2).to(self.mean.dtype)
        if self.resize:
            pixels = nn.functional.interpolate(pixels, size=(self.size, self.size), mode="bilinear", antialias=True)
        return self.model((pixels - self.mean) * self.scale)


@dataclass(frozen=True)
class Encoder:
    """A ready encoder: `run` maps uint8 (n, size, size, 3) to float32 (n, dimension)."""

    card: Card
    run: Callable[[np.ndarray], np.ndarray]
    dimension: int
    weights_sha256: str
    how: str  # device, library and precision, in words


def make_encoder(
    *,
    name: str,
    weights: str | None,
    tile: int,
    device: str = "auto",
    precision: str = "auto",
    backend: str = "torch",
    threads: int = 1,
) -> Encoder:
    """Load an encoder and bring it into its fastest form that still agrees with the plain one.

    Parameters
    ----------
    name
        A name of the registry, or ``timm:<model>``.
    weights
        File of its weights; None for the ones that a package ships.
    tile
        Side of the tiles in pixels; resized on the device if the encoder wants another size.
    device
        ``auto``, ``cpu`` or ``cuda``.
    precision
        ``auto`` is the fastest whose features agree with those in float32: bfloat16 or float16 on a GPU, whatever the
        processor is fastest with for OpenVINO, float32 with torch on a CPU.
    backend
        ``torch`` or ``openvino`` (CPU).
    threads
        CPU threads.

    Raises
    ------
    ValueError
        If the weights are not there or do not fit, or the combination of settings is impossible.
    """
    torch.set_num_threads(threads)
    known = card(name)
    path = _weights(known, weights)
    on_gpu = use_gpu(device)
    if on_gpu and backend == "openvino":
        raise ValueError("slides.backend openvino runs on a CPU; set device: cpu or slides.backend: torch")
    plain = Normalised(encoders.load(known, path), known.colour, known.size, tile).eval().requires_grad_(False)
    probe = _probe(tile)
    with torch.inference_mode():
        expected = plain(torch.from_numpy(probe)).numpy()
    if on_gpu:
        build = partial(_on_gpu, plain)
    elif backend == "openvino":
        build = partial(_compiled, _graph(plain, probe), threads)
    else:
        build = partial(_on_cpu, plain, probe, expected)
    run, how = _agreeing(name, _kinds(precision, on_gpu, backend), build, probe, expected)
    log.info("%s runs on %s", name, how)
    return Encoder(known, run, expected.shape[1], sha256_file(path), how)


def use_gpu(device: str) -> bool:
    """Return whether ``auto``, ``cpu`` or ``cuda`` means a GPU here.

    Raises
    ------
    ValueError
        If a GPU is insisted on and none is there.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device is cuda, but no GPU is visible to torch; ask the cluster for one or set device: cpu")
    return device != "cpu" and torch.cuda.is_available()


def _weights(known: Card, weights: str | None) -> Path:
    if weights:
        path = Path(weights)
        if not path.is_file():
            raise ValueError(f"slides.weights names {weights}, which is not a file")
        return path
    if known.family == "lite0":
        return embedded_weights()
    raise ValueError(
        f"{known.name} needs its weights; run the rule fetch_encoder online, or name a file in slides.weights"
    )


def _probe(tile: int) -> np.ndarray:
    """Four tiles of drawn tissue, pale and with nuclei, by which two forms of an encoder are compared.

    Low contrast is what tells them apart: EfficientNet-lite0 in bfloat16 has cosines of 0.9985 at worst on real tissue,
    of 0.9986 on drawn eosin, of 0.9992 on noise.
    """
    pictures = []
    for density in (0.0, 800.0):
        scene = make_scene(width=2 * SCALE, height=2 * SCALE, mpp=0.5, density=density, seed=0, pen=False)
        texture = scene.textures[TISSUE]
        times = -(-2 * tile // texture.shape[1])
        wide = np.tile(texture, (times, times, 1))
        pictures += [wide[:tile, :tile], wide[tile : 2 * tile, tile : 2 * tile]]
    return np.stack(pictures)


def _kinds(precision: str, on_gpu: bool, backend: str) -> list[str]:
    """Return the precisions to try, the fastest first."""
    if precision != "auto":
        return [precision]
    if on_gpu:
        return ["bfloat16"] * torch.cuda.is_bf16_supported() + ["float16", "float32"]
    return ["auto", "float32"] if backend == "openvino" else ["float32"]


def _agreeing(
    name: str,
    kinds: list[str],
    build: Callable[[str], tuple[Callable[[np.ndarray], np.ndarray], str]],
    probe: np.ndarray,
    expected: np.ndarray,
) -> tuple[Callable[[np.ndarray], np.ndarray], str]:
    """Return the first form of the encoder whose features agree with the expected ones."""
    for kind in kinds:
        run, how = build(kind)
        found = run(probe)
        cosine = (found * expected).sum(1) / (np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1))
        worst = float(np.nan_to_num(cosine, nan=-1.0).min())
        if worst >= (AGREEMENT if kind == kinds[-1] else MARGIN):
            return run, how
        log.info("%s on %s: cosine %.5f to the features in float32, which is too far", name, how, worst)
    raise ValueError(f"{name} on {how} gives features with cosine {worst:.5f} to those in float32; set float32")


def _on_gpu(plain: Normalised, kind: str) -> tuple[Callable[[np.ndarray], np.ndarray], str]:
    model = plain.to("cuda", memory_format=torch.channels_last)
    torch.backends.cudnn.benchmark = True

    def run(tiles: np.ndarray) -> np.ndarray:
        pinned = torch.from_numpy(tiles).pin_memory()
        with torch.inference_mode(), torch.autocast("cuda", getattr(torch, kind), enabled=kind != "float32"):
            return model(pinned.to("cuda", non_blocking=True)).float().cpu().numpy()

    return run, f"{torch.cuda.get_device_name()}, torch {kind}"


def _on_cpu(
    plain: Normalised, probe: np.ndarray, expected: np.ndarray, precision: str
) -> tuple[Callable[[np.ndarray], np.ndarray], str]:
    if precision != "float32":
        raise ValueError(f"slides.precision {precision} needs a GPU or slides.backend: openvino on a CPU; set float32")
    model = _frozen(plain.to(memory_format=torch.channels_last), probe, expected)

    def run(tiles: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return torch.cat([model(part) for part in torch.from_numpy(tiles).split(CPU_BATCH)]).numpy()

    return run, f"CPU, torch float32{'' if model is plain else ', folded'}"


def _frozen(plain: Normalised, probe: np.ndarray, expected: np.ndarray) -> nn.Module:
    """Fold batch normalisation into the convolutions; keep the plain module if that changes a result."""
    try:
        with torch.no_grad():
            frozen = torch.jit.freeze(torch.jit.trace(plain, torch.from_numpy(probe[:3])))
        with torch.inference_mode():
            same = np.allclose(frozen(torch.from_numpy(probe)).numpy(), expected, rtol=1e-3, atol=1e-4)
    except RuntimeError as error:
        log.info("the encoder runs as it is, since it cannot be traced (%s)", str(error).splitlines()[0])
        return plain
    return frozen if same else plain


def _graph(plain: Normalised, probe: np.ndarray) -> Any:
    """Return the encoder as a model of OpenVINO."""
    try:
        import openvino
    except ImportError as error:
        raise ValueError("slides.backend openvino needs the package openvino; install it or set torch") from error
    with torch.no_grad():
        return openvino.convert_model(plain, example_input=torch.from_numpy(probe[:2]), input=[-1, *probe.shape[1:]])


@cache
def _core() -> Any:
    """Return the one core of OpenVINO in this process.

    Each core gives the thread a stack for its signals and, when it ends, restores the one it found: of two that do not
    end in reverse order, the last to end restores one that is gone, and the next signal kills the process.
    """
    import openvino

    return openvino.Core()


def _compiled(graph: Any, threads: int, precision: str) -> tuple[Callable[[np.ndarray], np.ndarray], str]:
    options = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    if precision != "auto":
        options["INFERENCE_PRECISION_HINT"] = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}[precision]
    compiled = _core().compile_model(graph, "CPU", options)
    used = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()

    def run(tiles: np.ndarray) -> np.ndarray:
        parts = [np.array(compiled(tiles[at : at + CPU_BATCH])[0]) for at in range(0, len(tiles), CPU_BATCH)]
        return np.concatenate(parts).astype(np.float32)

    return run, f"CPU, OpenVINO {used}"
