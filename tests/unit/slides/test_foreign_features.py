"""Features that TRIDENT or CLAM made, from their folder to a trained model."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from pathgptomic.cohort.bags import Bags
from pathgptomic.cohort.images import read_images
from pathgptomic.cohort.tables import write_slides
from pathgptomic.slides.pack import pack_slides
from tests.unit.survival.synthetic import make_cohort
from tests.unit.survival.test_train import c_index, run

DIALECT = {
    "features": "given", "images": None, "table": None, "list": None, "dataset": "features",
    "id": {"replace": {}, "pattern": None, "characters": None},
}  # fmt: skip


def as_trident(path: Path, features: np.ndarray, coords: np.ndarray) -> None:
    """Write what TRIDENT writes into ``features_<encoder>/``."""
    common = {"name": path.stem, "savetodir": str(path.parent)}
    sizes = {"patch_size": 256, "patch_size_level0": 512, "level0_magnification": 40, "target_magnification": 20}
    with h5py.File(path, "w") as file:
        file.create_dataset("features", data=features).attrs.update(common | {"encoder": "uni_v1"})
        at = file.create_dataset("coords", data=coords)
        at.attrs.update(common | sizes | {"overlap": 0, "level0_width": 40_000, "level0_height": 30_000})


def as_clam(path: Path, features: np.ndarray, coords: np.ndarray) -> None:
    """Write what CLAM writes into ``h5_files/``: data sets that can grow, in chunks of one row, without attributes."""
    with h5py.File(path, "w") as file:
        for name, rows in (("features", features), ("coords", coords)):
            file.create_dataset(name, data=rows, maxshape=(None, *rows.shape[1:]), chunks=(1, *rows.shape[1:]))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return a cohort whose hazard lies in the tiles alone."""
    return make_cohort(tmp_path_factory.mktemp("cohort"), patients=120, planted=("slides",))


@pytest.mark.parametrize("layout", [as_trident, as_clam])
@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_features_of_another_tool_train_a_model(cohort, tmp_path: Path, layout: Callable, pooling: str):
    own = Bags.load(Path(cohort["slides"]).parent)
    given = tmp_path / "given"
    given.mkdir()
    for patient in own.patients(0):
        tiles = own.bag(0, patient).astype(np.float32)
        parts = {"DX1": tiles[: len(tiles) // 2], "DX2": tiles[len(tiles) // 2 :]}
        for slide, rows in parts.items():
            coords = 512 * np.stack([np.arange(len(rows)), np.zeros(len(rows), int)], axis=1)
            layout(given / f"{patient}-01Z-00-{slide}.h5", rows, coords)
    slides, owners, _ = read_images({"features": str(given)}, DIALECT, own.patients(0))
    assert owners == set(own.patients(0))
    write_slides(tmp_path / "slides.tsv", slides)
    files = {"patients": cohort["patients"], "slides": str(tmp_path / "slides.tsv"), "features": str(given)}
    pack_slides(files=files, settings={"dataset": "features"}, out=str(tmp_path / "bags"))
    packed = Bags.load(tmp_path / "bags")
    for patient in own.patients(0):
        np.testing.assert_allclose(packed.bag(1, patient), own.bag(1, patient), rtol=1e-6)
    encoder = "uni_v1" if layout is as_trident else "not recorded"
    assert json.loads((tmp_path / "bags" / "bags.json").read_text())["source"].endswith(f"encoder {encoder}")
    paths = cohort | {"slides": str(tmp_path / "bags" / "bags.npy")}
    model = {"modalities": ["slides"], "pooling": pooling, "training": {"epochs": 40, "patience": 10}}
    out = run(paths, tmp_path / "model", model)
    predictions = pd.read_csv(out["predictions"], sep="\t", dtype={"patient_id": str})
    assert c_index(predictions, paths, "test") > 0.65
