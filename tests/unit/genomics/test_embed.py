"""Embedding files of profiles: the result depends on the profile, not on the run."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from pathgptomic.genomics import embed
from pathgptomic.genomics.embed import embed_profiles, find_device, find_dtype
from pathgptomic.genomics.tiny_checkpoint import TINY, write_checkpoint

GENES = [f"G{number}" for number in range(90)]


@pytest.fixture(scope="module")
def scgpt(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("scgpt") / "tiny"
    write_checkpoint(folder, genes=GENES[:80], sizes=TINY, seed=5)
    return str(folder)


@pytest.fixture(scope="module")
def profiles() -> anndata.AnnData:
    generator = np.random.default_rng(3)
    x = generator.poisson(generator.lognormal(0, 1.5, (30, 90))).astype(np.float32)
    return anndata.AnnData(
        sp.csr_matrix(x), pd.DataFrame(index=[f"P{n:02d}" for n in range(30)]), pd.DataFrame(index=GENES)
    )


def _run(data: anndata.AnnData, scgpt: str, folder: Path, **settings) -> tuple[pd.DataFrame, pd.DataFrame]:
    folder.mkdir(exist_ok=True)
    data.write_h5ad(folder / "expression.h5ad")
    seed = settings.pop("seed", 17)
    embed_profiles(
        expression=str(folder / "expression.h5ad"),
        checkpoint=scgpt,
        sha256="",
        settings={"max_length": 21, **settings},
        seed=seed,
        device="cpu",
        backend="native",
        index="patient_id",
        embeddings=str(folder / "embeddings.parquet"),
        quality=str(folder / "quality.tsv"),
    )
    assert {path.name for path in folder.iterdir()} == {"expression.h5ad", "embeddings.parquet", "quality.tsv"}
    quality = pd.read_csv(folder / "quality.tsv", sep="\t", index_col="profile")
    return pd.read_parquet(folder / "embeddings.parquet"), quality


@pytest.fixture(scope="module")
def result(profiles, scgpt, tmp_path_factory) -> tuple[pd.DataFrame, pd.DataFrame]:
    return _run(profiles, scgpt, tmp_path_factory.mktemp("first"))


def test_table_and_quality(profiles, result):
    table, quality = result
    assert list(table.index) == sorted(profiles.obs_names)
    assert table.index.name == "patient_id"
    assert (table.dtypes == np.float32).all()
    known = (profiles.X[:, :80] > 0).sum(axis=1).A1
    assert list(quality["expressed"]) == list(known)
    assert list(quality["sequences"]) == list(-(-known // 20))
    assert quality["draw_cosine"].count() == 20
    assert quality["ties"].between(0, 1).all()


def test_order_and_layout_of_the_file_do_not_matter_at_all(profiles, result, scgpt, tmp_path):
    shuffled = profiles[np.random.default_rng(0).permutation(30)].copy()
    pd.testing.assert_frame_equal(_run(shuffled, scgpt, tmp_path / "csr")[0], result[0], check_exact=True)
    shuffled.X = shuffled.X.toarray()
    pd.testing.assert_frame_equal(_run(shuffled, scgpt, tmp_path / "dense")[0], result[0], check_exact=True)
    shuffled.X = sp.csc_matrix(shuffled.X)
    pd.testing.assert_frame_equal(_run(shuffled, scgpt, tmp_path / "csc")[0], result[0], check_exact=True)


@pytest.mark.parametrize("batch_tokens", [1, 50, 10_000])
def test_batches_do_not_matter(profiles, result, scgpt, tmp_path, batch_tokens):
    table = _run(profiles, scgpt, tmp_path, batch_tokens=batch_tokens)[0]
    assert np.abs(table.to_numpy() - result[0].to_numpy()).max() < 1e-5


def test_a_profile_does_not_depend_on_the_others(profiles, result, scgpt, tmp_path):
    table = _run(profiles[[7, 3]].copy(), scgpt, tmp_path)[0]
    assert np.abs(table.to_numpy() - result[0].loc[table.index].to_numpy()).max() < 1e-5


def test_logarithm_and_depth_do_not_matter(profiles, result, scgpt, tmp_path):
    scaled = profiles.copy()
    scaled.X = sp.csr_matrix(np.log1p(scaled.X.toarray() * 8))
    assert np.abs(_run(scaled, scgpt, tmp_path)[0].to_numpy() - result[0].to_numpy()).max() < 1e-5


def test_a_killed_job_goes_on_to_the_same_result(profiles, scgpt, tmp_path, monkeypatch):
    whole = _run(profiles, scgpt, tmp_path / "whole", shard=8)[0]
    forwards = []
    original = embed.Embedder.embed

    def dying(self, sequences):
        forwards.append(len(sequences))
        if len(forwards) == 3:
            raise KeyboardInterrupt
        return original(self, sequences)

    monkeypatch.setattr(embed.Embedder, "embed", dying)
    with pytest.raises(KeyboardInterrupt):
        _run(profiles, scgpt, tmp_path / "killed", shard=8)
    again = _run(profiles, scgpt, tmp_path / "killed", shard=8)[0]
    assert forwards == [8, 8, 8, 8, 6, 20]  # two shards were kept; the last is the second draw
    pd.testing.assert_frame_equal(again, whole, check_exact=True)


def test_shards_of_another_seed_are_not_taken_up(profiles, scgpt, tmp_path, monkeypatch):
    first = _run(profiles, scgpt, tmp_path / "first", shard=8, seed=1)[0]
    with monkeypatch.context() as patched:
        patched.setattr(embed.Embedder, "draw_cosine", lambda self, table: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            _run(profiles, scgpt, tmp_path / "second", shard=8, seed=2)
    second = _run(profiles, scgpt, tmp_path / "second", shard=8, seed=1)[0]
    pd.testing.assert_frame_equal(first, second, check_exact=True)


def test_columns_of_one_symbol_are_summed(profiles, result, scgpt, tmp_path):
    split = profiles.X.toarray()
    halves = np.concatenate([split / 2, split / 2], axis=1)
    data = anndata.AnnData(halves, profiles.obs, pd.DataFrame(index=GENES + GENES))
    assert np.abs(_run(data, scgpt, tmp_path)[0].to_numpy() - result[0].to_numpy()).max() < 1e-5


def test_a_profile_without_a_known_gene_is_reported(profiles, result, scgpt, tmp_path, caplog):
    silent = profiles.copy()
    x = silent.X.toarray()
    x[4, :80] = 0
    silent.X = sp.csr_matrix(x)
    table, quality = _run(silent, scgpt, tmp_path)
    assert "P04" not in table.index
    assert len(table) == 29
    assert quality.loc["P04", "sequences"] == 0
    assert "1 profiles without a known gene get no embedding: P04" in caplog.text


@pytest.mark.parametrize("value", [-0.5, np.nan, np.inf])
def test_a_value_that_is_no_expression_is_refused(profiles, scgpt, tmp_path, value):
    wrong = profiles.copy()
    wrong.X = wrong.X.toarray()
    wrong.X[12, 3] = value
    with pytest.raises(ValueError, match=r"profile 'P12' has the value .* for G3; scGPT needs expression on a linear"):
        _run(wrong, scgpt, tmp_path)


def test_other_inputs_are_refused_in_a_sentence(profiles, scgpt, tmp_path):
    wrong = profiles.copy()
    wrong.uns["scale"] = "zscore"
    with pytest.raises(ValueError, match="on the scale 'zscore'"):
        _run(wrong, scgpt, tmp_path)
    wrong = profiles.copy()
    wrong.var_names = [f"ENSG{number:011d}" for number in range(90)]
    with pytest.raises(ValueError, match=r"only 0% of the 90 genes .* gene symbols are needed"):
        _run(wrong, scgpt, tmp_path)
    wrong = profiles.copy()
    wrong.obs_names = ["P00", *wrong.obs_names[:-1]]
    with pytest.raises(ValueError, match="more than one profile 'P00'"):
        _run(wrong, scgpt, tmp_path)


def test_device_and_precision(monkeypatch, caplog):
    cpu = find_device("cpu")
    assert find_dtype("auto", cpu) == embed.torch.float32
    with pytest.raises(ValueError, match="which CPUs do not compute in"):
        find_dtype("float16", cpu)
    monkeypatch.setattr(embed, "fast_bfloat16", lambda: False)
    assert find_dtype("bfloat16", cpu) == embed.torch.bfloat16
    assert "no instructions for bfloat16" in caplog.text
    monkeypatch.setattr(embed.torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="this job sees no GPU"):
        find_device("cuda")
    assert find_device("auto").type == "cpu"
