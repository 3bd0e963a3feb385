"""scGPT against golden files made with the published package (scgpt 0.2.4), and on real bulk profiles."""

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import torch

from pathgptomic.genomics.checkpoint import read_checkpoint
from pathgptomic.genomics.embed import embed_profiles
from pathgptomic.genomics.scgpt import ScGPT
from pathgptomic.genomics.tiny_checkpoint import TINY, write_checkpoint
from pathgptomic.genomics.tokens import bin_values, share_of_ties


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, np.ndarray]:
    with np.load(shared / "fixtures" / "scgpt" / "embedding.npz") as stored:
        return dict(stored)


def _batch(golden: dict, cells: list[int], pad: int, extra: int = 0) -> tuple[torch.Tensor, ...]:
    """Return ids, rows of the value table and the mask of some golden cells, padded by `extra` more than needed."""
    parts = [slice(golden["tok_indptr"][cell], golden["tok_indptr"][cell + 1]) for cell in cells]
    longest = max(part.stop - part.start for part in parts) + extra
    ids = torch.full((len(cells), longest), pad)
    rows = torch.zeros(len(cells), longest, dtype=torch.long)
    real = torch.zeros(len(cells), longest, dtype=torch.bool)
    for line, part in enumerate(parts):
        length = part.stop - part.start
        ids[line, :length] = torch.from_numpy(golden["tok_id"][part])
        rows[line, :length] = torch.from_numpy(golden["tok_value"][part]).clamp(min=0).long()
        real[line, :length] = True
    return ids, rows, real


@pytest.mark.parametrize("keys", ["ckpt-flash", "ckpt-plain"])
@pytest.mark.parametrize("extra", [0, 7])
def test_embeddings_are_those_of_the_published_package(shared: Path, golden: dict, keys: str, extra: int):
    checkpoint = read_checkpoint(shared / "fixtures" / "scgpt" / keys)
    model = ScGPT(checkpoint)
    everything = list(range(len(golden["cell"])))
    for cells in (everything, everything[::-1], everything[3:6], *[[cell] for cell in everything]):
        ours = model(*_batch(golden, cells, checkpoint.vocabulary["<pad>"], extra)).numpy()
        assert np.abs(ours - golden["cls"][cells]).max() < 1e-5


def test_stages_of_the_network_are_those_of_the_published_package(shared: Path, golden: dict):
    checkpoint = read_checkpoint(shared / "fixtures" / "scgpt" / "ckpt-flash")
    model = ScGPT(checkpoint)
    values = model.value_table.numpy()  # golden: values -2, -1, 0, 1 ... 51
    assert np.abs(values - np.delete(golden["value_table"], [1, 2, 53], axis=0)).max() < 1e-6
    ids, rows, _ = _batch(golden, [int(golden["stage_cell"])], 0)
    x = model.gene_table[ids] + model.value_table[rows]
    assert np.abs(x[0].numpy() - golden["stage_input"]).max() < 1e-5
    for number, layer in enumerate(model.layers, start=1):
        x = layer(x, None)
        assert np.abs(x[0].numpy() - golden[f"stage_layer{number}"]).max() < 1e-5


def test_bins_are_exactly_those_of_the_published_package(shared: Path, golden: dict):
    for start, stop in zip(golden["nz_indptr"][:-1], golden["nz_indptr"][1:], strict=True):
        values, uniform = golden["nz_value"][start:stop], golden["nz_rand"][start:stop]
        bins = bin_values(values, uniform)
        np.testing.assert_array_equal(bins, golden["nz_bin"][start:stop])
        low, high = golden["nz_bin_lo"][start:stop], golden["nz_bin_hi"][start:stop]
        assert share_of_ties(values) == pytest.approx(np.mean(low < high))
        other = bin_values(values, np.random.default_rng(5).random(len(values)))
        assert ((low <= other) & (other <= high)).all()


def test_bins_without_ties_need_no_random_number(shared: Path):
    stored = np.load(shared / "fixtures" / "scgpt" / "binning.npz")
    for start, stop in zip(stored["indptr"][:-1], stored["indptr"][1:], strict=True):
        for uniform in (0.0, 0.999):
            bins = bin_values(stored["value"][start:stop], np.full(stop - start, uniform))
            np.testing.assert_array_equal(bins, stored["bin"][start:stop])


@pytest.fixture(scope="module")
def gliomas(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whole-transcriptome counts of 40 gliomas as an .h5ad file."""
    counts = pd.read_parquet(shared / "data" / "glioma-counts" / "counts.parquet")
    samples = counts.columns[4:]
    var = pd.DataFrame(index=counts["ensembl_symbol"].astype(str).to_numpy())
    data = anndata.AnnData(counts[samples].to_numpy().T.astype(np.float32), pd.DataFrame(index=samples.str[:12]), var)
    data.uns["scale"] = "linear"
    path = tmp_path_factory.mktemp("gliomas") / "expression.h5ad"
    data.write_h5ad(path)
    return path


def test_forty_gliomas_are_embedded(shared: Path, gliomas: Path, tmp_path: Path):
    vocabulary = json.loads((shared / "data" / "scgpt-vocab" / "default_census_vocab.json").read_text())
    write_checkpoint(tmp_path / "scgpt", genes=list(vocabulary), sizes=TINY, seed=1)
    embed_profiles(
        expression=str(gliomas),
        checkpoint=str(tmp_path / "scgpt"),
        sha256="",
        settings={"quality_profiles": 8},
        seed=17,
        device="cpu",
        backend="native",
        index="patient_id",
        embeddings=str(tmp_path / "embeddings.parquet"),
        quality=str(tmp_path / "quality.tsv"),
    )
    table = pd.read_parquet(tmp_path / "embeddings.parquet")
    quality = pd.read_csv(tmp_path / "quality.tsv", sep="\t", index_col="profile")
    assert table.shape == (40, TINY["width"])
    assert table.index.name == "patient_id"
    np.testing.assert_allclose(np.linalg.norm(table, axis=1), 1, atol=1e-6)
    assert quality["expressed"].between(14_000, 18_500).all()
    assert (quality["sequences"] == -(-quality["expressed"] // 1199)).all()
    # real bulk has hardly any ties, and parts that cover every gene leave little to the draw
    assert quality["ties"].max() < 0.1
    assert quality["draw_cosine"].min() > quality["others_cosine"].mean()
