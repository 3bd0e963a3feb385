"""Splits: nobody is in two parts, deaths are spread evenly, sites stay whole, and a seed gives the same folds again."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathgptomic.cohort import sites
from pathgptomic.cohort.folds import check_sites, fold_sizes, own_folds, published_folds
from pathgptomic.cohort.sites import partition_sites
from pathgptomic.cohort.splits import cells, deal, draw_share, inner_parts, leave_one_site_out
from pathgptomic.cohort.tables import check_splits
from tests.unit.cohort.facility import Facility

SCHEMES = ("kfold", "repeated", "monte-carlo", "site-preserved", "leave-one-site-out")
SETTINGS = {"folds": 4, "repeats": 2, "test_fraction": 0.2, "inner_folds": 3, "site_events": 3}


def made_up(seed: int, patients: int = 150, n_sites: int = 12) -> pd.DataFrame:
    """Return a cohort with sites of very different sizes and death rates."""
    generator = np.random.default_rng(seed)
    site = generator.choice(n_sites, patients, p=generator.dirichlet(np.full(n_sites, 0.7)) * 0.8 + 0.2 / n_sites)
    event = generator.uniform(size=patients) < generator.uniform(0.1, 0.7, n_sites)[site]
    stratum = np.where(generator.uniform(size=patients) < 0.3, "GBM", "LGG")
    index = pd.Index([f"P{n:03d}" for n in range(patients)], name="patient_id")
    return pd.DataFrame({"event": event, "site": [f"S{s:02d}" for s in site], "stratum": stratum}, index=index)


cohorts = st.builds(
    lambda events, strata: (np.array(events), np.array((strata * len(events))[: len(events)])),
    st.lists(st.booleans(), min_size=6, max_size=80),
    st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=7),
)


def spread(part: np.ndarray, chosen: np.ndarray, parts: int) -> int:
    """Return the largest difference between parts in the number of chosen patients."""
    return int(np.ptp(np.bincount(part[chosen], minlength=parts + 1)[1:]))


@settings(max_examples=60, deadline=None)
@given(cohorts, st.integers(2, 6), st.integers(0, 99))
def test_dealing_is_even_in_every_cell(cohort: tuple[np.ndarray, np.ndarray], parts: int, seed: int):
    event, stratum = cohort
    cell = cells(event, stratum)
    part = deal(cell, parts, np.random.default_rng(seed))
    assert set(part) <= set(range(1, parts + 1))
    assert spread(part, np.ones(len(event), bool), parts) <= 1
    assert spread(part, event, parts) <= 1
    assert all(spread(part, cell == number, parts) <= 1 for number in set(cell))
    np.testing.assert_array_equal(part, deal(cell, parts, np.random.default_rng(seed)))


@settings(max_examples=60, deadline=None)
@given(cohorts, st.floats(0.05, 0.5), st.integers(0, 99))
def test_a_draw_is_even_in_every_cell(cohort: tuple[np.ndarray, np.ndarray], share: float, seed: int):
    event, stratum = cohort
    cell = cells(event, stratum)
    drawn = draw_share(cell, share, np.random.default_rng(seed))
    for chosen in (np.ones(len(event), bool), event, *(cell == number for number in set(cell))):
        assert abs(drawn[chosen].sum() - share * chosen.sum()) < 1 + 1e-9


def test_draws_differ_and_reach_everybody():
    cell = cells(np.arange(50) % 3 == 0, np.full(50, ""))
    draws = np.stack([draw_share(cell, 0.2, np.random.default_rng(seed)) for seed in range(200)])
    assert len({draw.tobytes() for draw in draws}) > 190
    np.testing.assert_allclose(draws.mean(axis=0), 0.2, atol=0.1)  # 3.5 standard errors


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5))
def test_sites_stay_whole_and_no_part_is_empty(seed: int, parts: int):
    cohort = made_up(seed, patients=60, n_sites=8)
    arguments = cohort["site"].to_numpy(), cohort["event"].to_numpy(), cohort["stratum"].to_numpy(), parts
    if cohort["site"].nunique() < parts:
        with pytest.raises(ValueError, match="too few for"):
            partition_sites(*arguments, np.random.default_rng(seed))
        return
    part = partition_sites(*arguments, np.random.default_rng(seed))
    assert (cohort.assign(part=part).groupby("site")["part"].nunique() == 1).all()
    assert set(part) == set(range(1, parts + 1))
    np.testing.assert_array_equal(part, partition_sites(*arguments, np.random.default_rng(seed)))


@pytest.mark.parametrize("seed", range(6))
def test_sites_are_spread_as_well_as_can_be(seed: int):
    cohort = made_up(seed, patients=80, n_sites=7)
    site, event, stratum = (cohort[name].to_numpy() for name in ("site", "event", "stratum"))
    names, row = np.unique(site, return_inverse=True)
    counts, weights = sites._quantities(row, event, stratum)

    def cost(part: np.ndarray) -> float:
        return float(sites._cost(sites._sums(part, counts, 3), counts, weights, 3))

    best = min(cost(np.array(part)) for part in itertools.product(range(3), repeat=len(names)))
    part = partition_sites(site, event, stratum, 3, np.random.default_rng(0)) - 1
    found = cost(np.array([part[row == number][0] for number in range(len(names))]))
    assert found <= best + 1e-9  # exhaustive search over 3^7 partitions


@pytest.mark.parametrize("seed", range(3))
def test_no_move_and_no_swap_of_sites_would_help(seed: int):
    cohort = made_up(seed, patients=600, n_sites=40)
    site, event, stratum = (cohort[name].to_numpy() for name in ("site", "event", "stratum"))
    _, first, row = np.unique(site, return_index=True, return_inverse=True)
    counts, weights = sites._quantities(row, event, stratum)
    part = partition_sites(site, event, stratum, 5, np.random.default_rng(0))[first] - 1  # of each site

    def cost(changed: np.ndarray) -> float:
        return float(sites._cost(sites._sums(changed, counts, 5), counts, weights, 5))

    found = cost(part)
    for one in range(len(part)):
        for target in range(5):
            moved = part.copy()
            moved[one] = target
            assert cost(moved) >= found - 1e-9 or len(set(moved)) < 5
        for other in range(one):
            swapped = part.copy()
            swapped[[one, other]] = part[[other, one]]
            assert cost(swapped) >= found - 1e-9


def test_sites_are_spread_better_than_by_chance():
    cohort = made_up(3)
    site, event = cohort["site"].to_numpy(), cohort["event"].to_numpy()
    part = partition_sites(site, event, cohort["stratum"].to_numpy(), 4, np.random.default_rng(0))
    names = np.unique(site)
    by_chance = []
    for seed in range(200):
        place = dict(zip(names, np.random.default_rng(seed).permutation(len(names)) % 4 + 1, strict=True))
        by_chance.append(spread(np.array([place[name] for name in site]), event, 4))
    assert spread(part, event, 4) <= np.quantile(by_chance, 0.05)


def test_leaving_one_site_out():
    site = np.array(["A"] * 10 + ["B"] * 10 + ["C"] * 3 + ["D"] * 3)
    event = np.array([True, False] * 13)
    folds = leave_one_site_out(site, event, 3)
    assert [sorted(set(site[fold])) for fold in folds] == [["A"], ["B"], ["C", "D"]]
    assert [sorted(set(site[fold])) for fold in leave_one_site_out(site, event, 5)] == [["A"], ["B"]]
    with pytest.raises(ValueError, match="lower `splits.site_events`"):
        leave_one_site_out(site, event, 6)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("seed", range(3))
def test_every_scheme_gives_usable_folds(scheme: str, seed: int):
    cohort = made_up(seed)
    rows = own_folds(cohort, SETTINGS | {"scheme": scheme}, seed)
    check_splits(rows, "splits.tsv", cohort.index)
    again = own_folds(cohort, SETTINGS | {"scheme": scheme}, seed)
    pd.testing.assert_frame_equal(rows, again)
    for _, fold in rows.groupby("fold"):
        assert set(fold["patient_id"]) == set(cohort.index)
        assert set(fold["inner"]) == {0, 1, 2, 3}
    tests = {frozenset(fold["patient_id"]) for _, fold in rows[rows["role"] == "test"].groupby("fold")}
    assert len(tests) == rows["fold"].nunique()  # no fold is another one again
    expected = {"kfold": 4, "repeated": 8, "monte-carlo": 4, "site-preserved": 4}
    assert scheme not in expected or rows["fold"].nunique() == expected[scheme]
    sizes = fold_sizes(cohort, rows).query("role == 'test'")
    if scheme in ("site-preserved", "leave-one-site-out"):
        assert (sizes["from_training_sites"] == 0).all()
        inner = rows[rows["role"] == "train"].merge(cohort["site"], left_on="patient_id", right_index=True)
        assert (inner.groupby(["fold", "site"])["inner"].nunique() == 1).all()
    else:
        assert sizes["events"].max() - sizes["events"].min() <= 1
    if scheme == "kfold":
        assert (rows[rows["role"] == "test"]["patient_id"].value_counts() == 1).all()


def test_another_seed_gives_other_folds():
    cohort = made_up(0)
    one, two = (own_folds(cohort, SETTINGS | {"scheme": "kfold"}, seed) for seed in (1, 2))
    assert not one.equals(two)


def test_inner_parts_of_one_fold_do_not_depend_on_other_folds():
    cohort = made_up(0)
    few, many = (own_folds(cohort, SETTINGS | {"scheme": "monte-carlo", "folds": folds}, 5) for folds in (2, 6))
    pd.testing.assert_frame_equal(few, many[many["fold"] <= 2])


def test_a_published_validation_part_is_inner_part_one():
    cohort = made_up(1, patients=40)
    validation = np.arange(40) < 8
    part = inner_parts(cohort, SETTINGS | {"scheme": "published"}, validation, np.random.default_rng(0))
    np.testing.assert_array_equal(part == 1, validation)
    assert set(part[~validation]) == {2, 3}


def test_published_folds_leave_out_who_is_not_in_the_cohort():
    cohort = made_up(1, patients=30)
    roles = pd.DataFrame(
        {
            "fold": np.repeat([1, 2], 40),
            "patient_id": [f"P{n:03d}" for n in range(40)] * 2,
            "role": ["test" if (n + fold) % 4 == 0 else "train" for fold in (0, 1) for n in range(40)],
        }
    )
    rows = published_folds(cohort, roles, SETTINGS | {"scheme": "published"}, 1)
    check_splits(rows, "splits.tsv", cohort.index)
    merged = rows.merge(roles, on=["fold", "patient_id"])
    assert len(merged) == 60
    assert (merged["role_x"] == merged["role_y"]).all()
    with pytest.raises(ValueError, match="fold 1 of the published splits has 0 test"):
        published_folds(cohort, roles.assign(role="train"), SETTINGS | {"scheme": "published"}, 1)


def test_too_few_deaths_in_a_fold_stop_the_run(tmp_path: Path):
    facility = Facility(tmp_path)
    facility.cohort["audit"] = {"minimum_events_per_fold": 30}
    with pytest.raises(ValueError, match="deaths in its test part, fewer than 30") as caught:
        facility.build()
    assert "patients.tsv" in str(caught.value)


def test_sites_that_are_not_known_are_reported():
    cohort = made_up(0).assign(site="")
    rows = own_folds(cohort, SETTINGS | {"scheme": "kfold"}, 1)
    finding = check_sites(cohort, fold_sizes(cohort, rows), "kfold")
    assert finding.status == "warn"
    assert finding.detail == "No site is known, so a model may have learned sites."
