"""Adapters: training, rivals, evaluation, domain distance, on embeddings whose structure is known."""

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

from pathgptomic.genomics.adapt import adapt_bulk, mean_discrepancy, measure_domain, separability
from pathgptomic.genomics.adapter import METHODS, SUPERVISED, Adapter, AdapterSettings, fraction_loss, load_adapter
from pathgptomic.genomics.coverage import compare_mixtures
from pathgptomic.genomics.evaluate import evaluate_adapter
from pathgptomic.genomics.tiny_checkpoint import TINY, write_checkpoint
from pathgptomic.genomics.train import train_adapter

WIDTH, TYPES = 24, ["A", "B", "C"]
SIZES = {"train": 300, "validation": 60, "test": 100}


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Write mixtures whose embedding is a curved function of their fractions, as ranks within a profile make it."""
    folder, generator = tmp_path_factory.mktemp("labelled"), np.random.default_rng(0)
    rows, fractions = [], []
    for form, alpha in (("cells", 0.01), ("pairs", 0.3), ("pseudobulk", 1.0)):
        for part, count in SIZES.items():
            rows += [(f"{form}-{part}-{number}", form, part, 2) for number in range(count)]
            drawn = generator.dirichlet([alpha] * 3, count)
            fractions.append(np.eye(3)[drawn.argmax(axis=1)] if form == "cells" else drawn)
    y = np.concatenate(fractions).astype(np.float32)
    x = np.tanh(4 * (y - 0.4)) @ generator.normal(size=(3, WIDTH)) + 0.1 * generator.normal(size=(len(y), WIDTH))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    obs = pd.DataFrame(rows, columns=["name", "form", "part", "cells"]).set_index("name")
    mixtures = anndata.AnnData(sp.csr_matrix((len(y), 1), dtype=np.float32), obs, uns={"cell_types": TYPES})
    mixtures.obsm["fractions"] = y
    mixtures.write_h5ad(folder / "mixtures.h5ad")
    table = pd.DataFrame(x.astype(np.float32), index=obs.index, columns=[f"scgpt_{n}" for n in range(WIDTH)])
    table.to_parquet(folder / "embeddings.parquet")
    table.iloc[:50].rename_axis("patient_id").to_parquet(folder / "bulk.parquet")
    return {"mixtures": str(folder / "mixtures.h5ad"), "embeddings": str(folder / "embeddings.parquet")}


def _train(labelled: dict[str, str], folder: Path, seed: int = 3, loss: str = "mse", **training) -> Path:
    method = training.pop("method", "mixup")
    train_adapter(
        **labelled,
        settings={"method": method, "width": 16, "loss": loss},
        training={"epochs": 40, "batch": 32, "learning_rate": 3e-3, **training},
        seed=seed,
        folder=str(folder),
        history=str(folder) + ".tsv",
    )
    return folder


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_embeds_and_comes_back_from_its_file(labelled, tmp_path, method):
    folder = _train(labelled, tmp_path / method, method=method)
    adapter, facts = load_adapter(folder)
    assert facts["types"] == TYPES
    x = torch.from_numpy(pd.read_parquet(labelled["embeddings"]).to_numpy()[:7])
    assert adapter.embed(x).shape == (7, WIDTH if method == "none" else 16)
    assert torch.isfinite(adapter.embed(x)).all()
    history = pd.read_csv(f"{folder}.tsv", sep="\t")
    if method in ("none", "pca"):
        assert history.empty
    else:
        assert history["kept"].sum() == 1
        assert history.loc[history["kept"] == 1, "validation"].item() == history["validation"].min()
        assert history["validation"].min() < 0.7 * history["validation"].iloc[0]


def test_a_seed_gives_the_same_adapter_to_the_bit(labelled, tmp_path):
    for method in ("mixup", "vae", "dropout"):
        first, again = (_train(labelled, tmp_path / f"{method}{run}", method=method) for run in (1, 2))
        torch.rand(3)  # the global generator has no say
        assert (first / "adapter.safetensors").read_bytes() == (again / "adapter.safetensors").read_bytes()
    other = _train(labelled, tmp_path / "other", seed=4)
    assert (other / "adapter.safetensors").read_bytes() != (tmp_path / "mixup1" / "adapter.safetensors").read_bytes()


def test_training_stops_when_held_out_donors_gain_nothing(labelled, tmp_path):
    folder = _train(labelled, tmp_path / "mixup", epochs=2000, patience=4)
    history = pd.read_csv(f"{folder}.tsv", sep="\t")
    assert len(history) < 2000
    assert len(history) - history["validation"].idxmin() - 1 == 4


def test_mlp_a_beats_the_linear_probe_where_the_embedding_is_curved(labelled, tmp_path):
    folder = _train(labelled, tmp_path / "mixup", epochs=150, patience=30)
    path = tmp_path / "evaluation.tsv"
    evaluate_adapter(adapter="mixup", folder=str(folder), **labelled, seed=1, evaluation=str(path))
    table = pd.read_csv(path, sep="\t").set_index(["readout", "form"])
    assert set(table.index) == {(r, f) for r in ("own", "probe", "raw-probe") for f in ("cells", "pairs", "pseudobulk")}
    assert (table["n"] == 100).all()
    assert table.loc[("own", "pairs"), "delta_high"] < 0
    assert table.loc[("own", "pairs"), "pearson"] > 0.9
    assert (table.loc["raw-probe", "delta"] == 0).all()
    assert (table["delta_low"] <= table["delta"]).all()


def test_unsupervised_methods_are_judged_by_their_probe_only(labelled, tmp_path):
    folder = _train(labelled, tmp_path / "none", method="none")
    path = tmp_path / "evaluation.tsv"
    evaluate_adapter(adapter="none", folder=str(folder), **labelled, seed=1, evaluation=str(path))
    table = pd.read_csv(path, sep="\t").set_index(["readout", "form"])
    assert set(table.index.get_level_values("readout")) == {"probe", "raw-probe"}
    np.testing.assert_allclose(table.loc["probe", "rmse"], table.loc["raw-probe", "rmse"])
    assert "none" not in SUPERVISED


def test_cross_entropy_predicts_fractions_and_is_zero_when_perfect(labelled, tmp_path):
    adapter, _ = load_adapter(_train(labelled, tmp_path / "mixup", loss="cross_entropy"))
    x = torch.from_numpy(pd.read_parquet(labelled["embeddings"]).to_numpy()[:9])
    fractions = adapter.fractions(x)
    assert (fractions >= 0).all()
    torch.testing.assert_close(fractions.sum(dim=1), torch.ones(9))
    y = torch.tensor([[0.2, 0.8], [0.5, 0.5]])
    assert fraction_loss(y.log(), y, "cross_entropy").abs() < 1e-6
    assert fraction_loss(y.flip(1).log(), y, "cross_entropy") > 0.1
    assert fraction_loss(y, y, "mse") == 0


def test_a_form_that_the_reference_lacks_is_a_sentence(labelled, tmp_path):
    with pytest.raises(ValueError, match="trained on the form 'triplets', but .* has cells, pairs, pseudobulk"):
        _train(labelled, tmp_path / "mixup", form="triplets")


def test_principal_components(labelled, tmp_path):
    adapter, _ = load_adapter(_train(labelled, tmp_path / "pca", method="pca"))
    torch.testing.assert_close(adapter.components @ adapter.components.T, torch.eye(16), atol=1e-5, rtol=0)
    x = torch.from_numpy(pd.read_parquet(labelled["embeddings"]).to_numpy()[360:660])
    spread = adapter.embed(x).var(dim=0)
    assert (spread[:-1] >= spread[1:] * 0.8).all()


def test_bulk_is_adapted_row_by_row(labelled, tmp_path):
    folder, bulk = _train(labelled, tmp_path / "mixup"), Path(labelled["embeddings"]).parent / "bulk.parquet"
    adapt_bulk(embeddings=str(bulk), folder=str(folder), adapted=str(tmp_path / "adapted.parquet"))
    table, frozen = pd.read_parquet(tmp_path / "adapted.parquet"), pd.read_parquet(bulk)
    assert table.index.name == "patient_id"
    assert list(table.index) == list(frozen.index)
    expected = load_adapter(folder)[0].embed(torch.from_numpy(frozen.to_numpy()))
    np.testing.assert_array_equal(table.to_numpy(), expected.numpy())
    adapt_bulk(embeddings=str(bulk), folder="", adapted=str(tmp_path / "none.parquet"))
    np.testing.assert_array_equal(pd.read_parquet(tmp_path / "none.parquet").to_numpy(), frozen.to_numpy())
    frozen.iloc[:, :5].to_parquet(tmp_path / "narrow.parquet")
    with pytest.raises(ValueError, match="takes embeddings of width 24, but .* has 5"):
        adapt_bulk(embeddings=str(tmp_path / "narrow.parquet"), folder=str(folder), adapted=str(tmp_path / "x.parquet"))


def test_domain_distance(labelled, tmp_path):
    generator = np.random.default_rng(1)
    same = generator.normal(size=(200, 8))
    other = generator.normal(size=(150, 8))
    assert abs(mean_discrepancy(same, other)) < 0.01
    assert separability(same, other, 1) == pytest.approx(0.5, abs=0.1)
    assert mean_discrepancy(same, other + 1) > 0.1
    assert separability(same, other + 1, 1) > 0.95
    folder, path = _train(labelled, tmp_path / "mixup"), tmp_path / "domain.tsv"
    bulk = str(Path(labelled["embeddings"]).parent / "bulk.parquet")
    measure_domain(adapter="mixup", folder=str(folder), bulk=bulk, **labelled, seed=1, domain=str(path))
    table = pd.read_csv(path, sep="\t")
    assert len(table) == 6
    # the "bulk" here are single cells of the training part
    near = table[(table["form"] == "cells")]
    assert near["auc"].between(0.3, 0.7).all()
    assert (table.loc[table["form"] == "pseudobulk", "mmd"].to_numpy() > 2 * near["mmd"].to_numpy()).all()


def test_initial_weights_are_within_the_bounds_of_their_layer():
    adapter = Adapter(AdapterSettings("mixup", width=16), WIDTH, TYPES, torch.Generator().manual_seed(1))
    for layer in [*adapter.layers, adapter.readout]:
        assert layer.weight.abs().max() <= layer.in_features**-0.5
        assert layer.weight.std().item() == pytest.approx((layer.in_features * 3) ** -0.5, rel=0.2)


def test_bulk_beside_mixtures(tmp_path):
    generator, genes = np.random.default_rng(2), [f"G{number}" for number in range(300)]
    write_checkpoint(tmp_path / "scgpt", genes=genes[:250], sizes=TINY, seed=1)
    level = generator.lognormal(0, 1, 300)
    forms = {"cells": 0.05, "pairs": 0.1, "pseudobulk": 5}
    x = np.concatenate([generator.poisson(level * depth, (20, 300)) for depth in forms.values()]).astype(np.float32)
    obs = pd.DataFrame({"form": np.repeat(list(forms), 20)}, index=[f"m{number}" for number in range(60)])
    anndata.AnnData(sp.csr_matrix(x), obs, pd.DataFrame(index=genes)).write_h5ad(tmp_path / "mixtures.h5ad")
    bulk = generator.poisson(level * 500, (12, 300)).astype(np.float32)
    names = pd.DataFrame(index=[f"p{number}" for number in range(12)])
    anndata.AnnData(bulk, names, pd.DataFrame(index=genes)).write_h5ad(tmp_path / "bulk.h5ad")
    compare_mixtures(
        bulk=str(tmp_path / "bulk.h5ad"),
        mixtures=str(tmp_path / "mixtures.h5ad"),
        vocabulary=str(tmp_path / "scgpt" / "vocab.json"),
        minimum_known=0.3,
        seed=1,
        table=str(tmp_path / "table.tsv"),
        figure=str(tmp_path / "figure.svg"),
    )
    table = pd.read_csv(tmp_path / "table.tsv", sep="\t").groupby("kind").median(numeric_only=True)
    assert list(table["expressed"].sort_values().index) == ["cells", "pairs", "pseudobulk", "bulk"]
    assert list(table["ties"].sort_values().index) == ["bulk", "pseudobulk", "pairs", "cells"]
    assert table.loc["bulk", "rank_correlation"] > table.loc["pseudobulk", "rank_correlation"] > 0.8
    assert table.loc["bulk", "coverage"] == 1
    figure = (tmp_path / "figure.svg").read_text()
    assert "two cells mixed (n = 20)" in figure
    assert "250 of 250 bulk genes" in figure


def test_facts_of_an_adapter_are_readable(labelled, tmp_path):
    facts = json.loads((_train(labelled, tmp_path / "mixup") / "adapter.json").read_text())
    assert facts["form"] == "pairs"
    assert facts["settings"]["loss"] == "mse"
    assert facts["seed"] == 3
