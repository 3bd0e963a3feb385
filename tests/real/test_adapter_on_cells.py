"""From real glioma cells to MLP-A beside a linear probe, on donors that neither has seen.

The weights of scGPT are random here, so the errors say nothing of the official model; that both numbers are made of the
same held-out mixtures is what is tested. `config/scgpt.md` has what a run gave.
"""

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from pathgptomic.genomics.embed import embed_profiles
from pathgptomic.genomics.evaluate import evaluate_adapter
from pathgptomic.genomics.tiny_checkpoint import TINY, write_checkpoint
from pathgptomic.genomics.train import train_adapter
from pathgptomic.singlecell.cells import fetch_cells
from pathgptomic.singlecell.mix import mix_cells
from tests.real.test_singlecell import SETTINGS


@pytest.fixture(scope="module")
def evaluated(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, anndata.AnnData]:
    folder = tmp_path_factory.mktemp("adapter")
    cells, mixtures, embeddings = (str(folder / name) for name in ("cells.h5ad", "mixtures.h5ad", "e.parquet"))
    fetch_cells(
        settings=SETTINGS,
        path=str(shared / "data" / "singlecell" / "oligodendroglioma.h5ad"),
        seed=17,
        cells=cells,
        composition=str(folder / "composition.tsv"),
    )
    mix_cells(cells=cells, settings={"train": 60, "validation": 20, "test": 30}, seed=17, mixtures=mixtures)
    vocabulary = json.loads((shared / "data" / "scgpt-vocab" / "default_census_vocab.json").read_text())
    write_checkpoint(folder / "scgpt", genes=list(vocabulary), sizes=TINY, seed=1)
    embed_profiles(
        expression=mixtures,
        checkpoint=str(folder / "scgpt"),
        sha256="",
        settings={"policy": "random:1", "max_length": 400, "quality_profiles": 0},
        seed=17,
        device="cpu",
        backend="native",
        index="mixture",
        embeddings=embeddings,
        quality=str(folder / "quality.tsv"),
    )
    labelled = {"mixtures": mixtures, "embeddings": embeddings, "seed": 17}
    model = str(folder / "model")
    train_adapter(
        **labelled, settings={"method": "mixup"}, training={}, folder=model, history=str(folder / "history.tsv")
    )
    evaluate_adapter(**labelled, adapter="mixup", folder=model, evaluation=str(folder / "evaluation.tsv"))
    return pd.read_csv(folder / "evaluation.tsv", sep="\t"), anndata.read_h5ad(mixtures)


def test_mlp_a_stands_beside_the_linear_probe(evaluated: tuple[pd.DataFrame, anndata.AnnData], record_property):
    table, mixtures = evaluated
    assert set(table["form"]) == {"cells", "pairs", "pseudobulk"}
    assert (table["n"] == 30).all()
    rmse = table.pivot(index="form", columns="readout", values="rmse")
    own = table[table["readout"] == "own"].set_index("form")
    np.testing.assert_allclose(own["delta"], rmse["own"] - rmse["raw-probe"], atol=1e-5)
    assert ((own["delta_low"] <= own["delta"]) & (own["delta"] <= own["delta_high"])).all()
    # on two-cell mixtures, which both were fitted on, neither is far worse than the mean of the training fractions
    obs, fractions = mixtures.obs, np.asarray(mixtures.obsm["fractions"])
    train, test = (((obs["form"] == "pairs") & (obs["part"] == part)).to_numpy() for part in ("train", "test"))
    constant = np.sqrt(np.mean((fractions[test] - fractions[train].mean(axis=0)) ** 2))
    assert rmse.loc["pairs", ["own", "raw-probe"]].max() < 1.5 * constant
    for form, row in rmse.iterrows():
        record_property(form, f"MLP-A {row['own']:.3f}, linear probe {row['raw-probe']:.3f}")
