"""Bins and the choice of genes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathgptomic.genomics.tokens import Selection, Tokeniser, bin_values, choose_genes, share_of_ties

values = st.lists(st.integers(1, 60), min_size=1, max_size=400).map(lambda x: np.array(x, dtype=np.float32))


@given(values, st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_bins_keep_the_order_of_the_values(x: np.ndarray, seed: int):
    bins = bin_values(x, np.random.default_rng(seed).random(len(x)))
    assert bins.min() >= 1
    assert bins.max() <= 50
    for low, high in ((a, b) for a in np.unique(x) for b in np.unique(x) if a < b):
        assert bins[x == low].max() <= bins[x == high].min()


@given(values)
@settings(max_examples=50, deadline=None)
def test_only_ranks_matter(x: np.ndarray):
    uniform = np.full(len(x), 0.3)
    np.testing.assert_array_equal(bin_values(x, uniform), bin_values(x * 4, uniform))


def test_ties_are_spread_over_the_bins_they_span():
    x = np.r_[np.ones(650), np.arange(2, 352)].astype(np.float32)
    bins = bin_values(x, np.random.default_rng(0).random(1000))[:650]
    # 65 % of the genes share one value: they span the lowest 32 bins, each with the same chance
    np.testing.assert_array_equal(np.unique(bins), np.arange(1, 33))
    assert share_of_ties(x) == pytest.approx(0.65)
    assert share_of_ties(np.arange(1, 500, dtype=np.float32)) == 0


@given(st.integers(1, 5000), st.integers(2, 1300))
@settings(max_examples=100, deadline=None)
def test_a_partition_shows_every_gene_once_in_parts_of_like_size(count: int, max_length: int):
    parts = choose_genes(count, Selection("partition"), max_length, np.random.default_rng(1))
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(count))
    sizes = {len(part) for part in parts}
    assert max(sizes) <= max_length - 1
    assert max(sizes) - min(sizes) <= 1


def test_policies():
    generator = np.random.default_rng(1)
    draws = choose_genes(3000, Selection.parse("random:3"), 1200, generator)
    assert [len(np.unique(part)) for part in draws] == [1199, 1199, 1199]
    assert not np.array_equal(draws[0], draws[1])
    assert [len(part) for part in choose_genes(800, Selection.parse("random:3"), 1200, generator)] == [800]
    assert [len(part) for part in choose_genes(3000, Selection.parse("full"), 1200, generator)] == [3000]


def test_a_gene_list_is_used_as_it_is(tmp_path):
    path = tmp_path / "genes.txt"
    path.write_text("TP53\nEGFR\n")
    selection = Selection.parse(f"genes:{path}")
    assert selection.genes == {"TP53", "EGFR"}
    listed = np.array([True, False, True])
    np.testing.assert_array_equal(choose_genes(3, selection, 1200, np.random.default_rng(0), listed)[0], [0, 2])
    assert choose_genes(3, selection, 1200, np.random.default_rng(0), np.zeros(3, dtype=bool)) == []
    with pytest.raises(ValueError, match="has 2 genes that one profile expresses, but a sequence holds 1"):
        choose_genes(3, selection, 2, np.random.default_rng(0), listed)


@pytest.mark.parametrize("policy", ["random", "random:0", "genes:", "genes:nowhere.txt", "top", "partition:3"])
def test_an_unknown_policy_is_a_sentence(policy: str):
    with pytest.raises(ValueError, match=r"genomics\.policy"):
        Selection.parse(policy)


def test_what_a_profile_gets_depends_on_its_name_seed_and_draw_only():
    tokens, x = np.arange(3000), np.random.default_rng(2).poisson(2, 3000).astype(np.float32) + 1

    def made(name: str = "a", seed: int = 1, draw: int = 0) -> np.ndarray:
        sequences = Tokeniser(9999, Selection("partition"), 1200, seed, draw=draw).sequences(name, tokens, x)
        assert all(sequence.ids[0] == 9999 and sequence.rows[0] == 0 for sequence in sequences)
        return np.concatenate([np.r_[sequence.ids, sequence.rows] for sequence in sequences])

    np.testing.assert_array_equal(made(), made())
    for other in (made(name="b"), made(seed=2), made(draw=1)):
        assert not np.array_equal(made(), other)
