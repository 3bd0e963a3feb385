"""The scene that a synthetic slide shows: tumour of a stated nuclear density, stroma, glass, holes, pen, blur, a fold.

It is kept at 1/32 of the resolution, so that segmentation and quality measures can be held to a truth, and painted
one rectangle at a time, so that a slide of any size fits in memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from pathgptomic.seeds import rng

GLASS, TISSUE, PEN, BLUR, FOLD, STROMA = range(6)  # classes of the scene; TISSUE has the stated density
SCALE = 32  # level-0 pixels per pixel of the scene
PATCH = 1024  # side of the drawn texture, in level-0 pixels
ATLAS = 2 * PATCH  # side of the periodic textures: the drawn one and its mirror images
STROMA_DENSITY = 1500.0  # nuclei per square millimetre, alike on every slide
PEN_COLOURS = ((35, 60, 160), (30, 120, 60), (25, 25, 30), (190, 30, 45))  # blue, green, black, red


@dataclass(frozen=True)
class Scene:
    """What a slide shows: `classes` (height / 32, width / 32) of GLASS..STROMA, and the textures to paint them with."""

    width: int
    height: int
    classes: np.ndarray
    colours: np.ndarray  # pen colour of each pixel, (height / 32, width / 32, 3)
    textures: dict[int, np.ndarray] = field(repr=False)

    def render(self, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Paint one rectangle of level 0, (height, width, 3) uint8."""
        kind = self.plain(x, y, width, height)
        if kind is not None:
            return self._texture(kind, x, y, width, height).copy()
        around = _crop(self.classes, x, y, width, height)
        # blending by bilinear weights makes the soft edges that real tissue has
        picture = np.zeros((height, width, 3), np.float32)
        for kind in np.unique(around):
            weight = _enlarge((around == kind).astype(np.float32), x, y, width, height)[..., None]
            if kind == PEN:
                ink = _enlarge(_crop(self.colours, x, y, width, height).astype(np.float32), x, y, width, height)
                below = self._texture(TISSUE, x, y, width, height)
                picture += weight * (0.85 * ink + 0.15 * below)
            else:
                picture += weight * self._texture(kind, x, y, width, height)
        return picture.round().clip(0, 255).astype(np.uint8)

    def plain(self, x: int, y: int, width: int, height: int) -> int | None:
        """Return the class of a rectangle that shows nothing but the texture of one class, else None."""
        around = _crop(self.classes, x, y, width, height)
        first = int(around.flat[0])
        return first if first != PEN and (around == first).all() else None

    def _texture(self, kind: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        top, left = y % ATLAS, x % ATLAS
        if top + height <= ATLAS and left + width <= ATLAS:
            return self.textures[kind][top : top + height, left : left + width]
        rows, columns = (np.arange(top, top + height) % ATLAS, np.arange(left, left + width) % ATLAS)
        return self.textures[kind][rows[:, None], columns]


def _crop(grid: np.ndarray, x: int, y: int, width: int, height: int) -> np.ndarray:
    """The pixels of the scene that touch a rectangle, and one more on every side."""
    rows = np.arange(y // SCALE - 1, -(-(y + height) // SCALE) + 1).clip(0, grid.shape[0] - 1)
    columns = np.arange(x // SCALE - 1, -(-(x + width) // SCALE) + 1).clip(0, grid.shape[1] - 1)
    return grid[rows[:, None], columns]


def _enlarge(around: np.ndarray, x: int, y: int, width: int, height: int) -> np.ndarray:
    left, top = SCALE + x % SCALE, SCALE + y % SCALE
    large = cv2.resize(around, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_LINEAR)
    return large[top : top + height, left : left + width]


def make_scene(
    *,
    width: int,
    height: int,
    mpp: float,
    density: float,
    seed: int,
    tissue: float = 0.45,
    stroma: float = 0.0,
    pen: bool = True,
    blur: bool = True,
    fold: bool = True,
    texture: np.ndarray | None = None,
) -> Scene:
    """Lay out islands of tissue with holes, pen strokes over tissue and glass, an unfocused disc and a fold.

    Parameters
    ----------
    width, height
        Pixels of level 0.
    mpp
        Microns per pixel of level 0: it sets the size of a nucleus.
    density
        Nuclei per square millimetre of tumour.
    tissue
        Share of the slide covered by tissue; 0 for an empty slide.
    stroma
        Share of the tissue that is no tumour but stroma, which has few nuclei on every slide.
    texture
        A real picture of tissue (h, w, 3), mirrored over the slide instead of drawn nuclei.
    """
    random = rng(seed, "slide layout")
    shape = (max(2, -(-height // SCALE)), max(2, -(-width // SCALE)))
    classes, colours = _islands(shape, tissue, random), np.zeros((*shape, 3), np.uint8)
    if stroma:
        _mark_stroma(classes, stroma, rng(seed, "slide compartments"))
    if classes.any():
        _draw_on_tissue(classes, random, blur, fold)
    if pen:
        _draw_pen(classes, colours, random)
    textures = _textures(mpp, density, seed, texture)
    if stroma:
        textures[STROMA] = _mirror(_whole(_nuclei(mpp, STROMA_DENSITY, rng(seed, "slide stroma"))))
    return Scene(width, height, classes, colours, textures)


def _islands(shape: tuple[int, int], tissue: float, random: np.random.Generator) -> np.ndarray:
    """Cut a smooth random field at the height that leaves the wanted share of tissue, away from the edges."""
    field_ = _smooth_field(shape, random)
    edge = np.minimum.outer(_edge_distance(shape[0]), _edge_distance(shape[1])).astype(np.float32)
    field_ = field_ / max(float(field_.std()), 1e-9) + 2.5 * np.minimum(edge / 0.12, 1)
    classes = np.full(shape, GLASS, np.uint8)
    if tissue > 0:
        classes[field_ > np.quantile(field_, 1 - tissue)] = TISSUE
    return classes


def _mark_stroma(classes: np.ndarray, share: float, random: np.random.Generator) -> None:
    """Make the lowest parts of a smooth random field over the tissue stroma."""
    field_, inside = _smooth_field(classes.shape, random), classes == TISSUE
    if inside.any():
        classes[inside & (field_ <= np.quantile(field_[inside], share))] = STROMA


def _smooth_field(shape: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    return cv2.GaussianBlur(random.standard_normal(shape).astype(np.float32), (0, 0), max(1.0, max(shape) / 14))


def _draw_on_tissue(classes: np.ndarray, random: np.random.Generator, blur: bool, fold: bool) -> None:
    """Draw three holes, an unfocused disc and a fold."""
    size = max(classes.shape)
    inside = np.argwhere(cv2.erode(classes, np.ones((3, 3), np.uint8)) == TISSUE)
    if not len(inside):
        return

    def somewhere() -> tuple[int, int]:
        row, column = inside[random.integers(len(inside))]
        return int(column), int(row)

    for _ in range(3):
        cv2.circle(classes, somewhere(), max(1, size // 60), GLASS, -1)
    if blur:
        spot = np.zeros(classes.shape, np.uint8)
        cv2.circle(spot, somewhere(), max(2, size // 14), 1, -1)
        classes[(spot == 1) & (classes == TISSUE)] = BLUR
    if fold:
        band, (column, row) = np.zeros(classes.shape, np.uint8), somewhere()
        cv2.line(band, (column - size // 12, row), (column + size // 12, row + size // 20), 1, max(2, size // 30))
        classes[(band == 1) & (classes == TISSUE)] = FOLD


def _edge_distance(length: int) -> np.ndarray:
    position = (np.arange(length) + 0.5) / length
    return np.minimum(position, 1 - position)


def _draw_pen(classes: np.ndarray, colours: np.ndarray, random: np.random.Generator) -> None:
    rows, columns = classes.shape
    for colour in PEN_COLOURS:
        stroke = np.zeros(classes.shape, np.uint8)
        start = (random.random(2) * (columns, rows)).astype(int)
        end = (start + random.normal(0, 0.15, 2) * (columns, rows)).astype(int)
        cv2.line(stroke, start.tolist(), end.tolist(), 1, max(2, max(rows, columns) // 30))
        classes[stroke == 1], colours[stroke == 1] = PEN, colour


def _textures(mpp: float, density: float, seed: int, texture: np.ndarray | None) -> dict[int, np.ndarray]:
    """Make one periodic picture (ATLAS, ATLAS, 3) for every class."""
    random = rng(seed, "slide texture")
    glass = 243 + random.standard_normal((PATCH, PATCH, 3), np.float32)
    tissue = _nuclei(mpp, density, random) if texture is None else texture[:PATCH, :PATCH].astype(np.float32)
    unfocused = cv2.GaussianBlur(tissue, (0, 0), 2.5 / mpp)
    folded = 255 * (tissue / 255) ** 2.4  # twice and more of the optical density
    pictures = {GLASS: glass, TISSUE: tissue, BLUR: unfocused, FOLD: folded}
    return {kind: _mirror(_whole(picture)) for kind, picture in pictures.items()}


def _whole(picture: np.ndarray) -> np.ndarray:
    return picture.round().clip(0, 255).astype(np.uint8)


def _mirror(texture: np.ndarray) -> np.ndarray:
    height, width = texture.shape[:2]
    return cv2.copyMakeBorder(texture, 0, ATLAS - height, 0, ATLAS - width, cv2.BORDER_REFLECT)


def _nuclei(mpp: float, density: float, random: np.random.Generator) -> np.ndarray:
    """Draw haematoxylin nuclei on eosin by optical densities (Ruifrok and Johnston 2001), (PATCH, PATCH, 3)."""
    count = random.poisson(density * (PATCH * mpp / 1000) ** 2)
    nuclei = np.zeros((PATCH, PATCH), np.float32)
    centres, angles = random.integers(0, PATCH, (count, 2)), random.uniform(0, 180, count)
    radii, depths = random.normal(3.2, 0.6, (count, 2)).clip(1.8, 6) / mpp, random.uniform(0.6, 1.2, count)
    for centre, radius, angle, depth in zip(centres, radii, angles, depths, strict=True):
        axes = [max(1, round(r)) for r in radius]
        cv2.ellipse(nuclei, centre.tolist(), axes, float(angle), 0, 360, float(depth), -1, cv2.LINE_AA)
    coarse = random.standard_normal((max(4, round(PATCH * mpp / 16)),) * 2, np.float32)
    coarse = cv2.resize(coarse, (PATCH, PATCH), interpolation=cv2.INTER_CUBIC)
    fine = cv2.GaussianBlur(random.standard_normal((PATCH, PATCH), np.float32), (0, 0), 0.3 / mpp)
    nuclei = cv2.GaussianBlur(nuclei, (0, 0), 0.3 / mpp) * (1 + 0.25 * fine / fine.std())
    eosin = 0.40 + 0.07 * coarse + 0.05 * fine / fine.std()
    haematoxylin_od, eosin_od = np.array([0.65, 0.70, 0.29], np.float32), np.array([0.07, 0.99, 0.11], np.float32)
    return 245 * np.exp(-nuclei.clip(0)[..., None] * haematoxylin_od - eosin.clip(0.05)[..., None] * eosin_od)
