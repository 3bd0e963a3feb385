"""Late fusion: worked out by hand, fitted inside the training part, refused where members do not match."""

import numpy as np
import pandas as pd
import pytest

from pathgptomic.cohort.tables import HAS, write_patients, write_splits
from pathgptomic.survival.combine import combine_models, fit_weights
from pathgptomic.survival.predictions import read_predictions, write_predictions

N = 120


@pytest.fixture
def cohort(tmp_path):
    """Return a folder with 120 patients in one fold (100 train, 20 test) and their true log-hazard."""
    rng = np.random.default_rng(0)
    ids = pd.Index([f"P{i:03d}" for i in range(N)], name="patient_id")
    truth = rng.normal(size=N)
    time, stop = rng.exponential(np.exp(-truth)), rng.exponential(2, N)
    patients = pd.DataFrame(
        {"time_days": 1 + 1000 * np.minimum(time, stop), "event": time < stop, "site": "s", "stratum": ""}
        | dict.fromkeys(HAS, True),
        index=ids,
    )
    write_patients(tmp_path / "patients.tsv", patients)
    train = np.arange(N) < 100
    splits = pd.DataFrame({"fold": 1, "patient_id": ids, "role": np.where(train, "train", "test")})
    write_splits(tmp_path / "splits.tsv", splits.assign(inner=np.where(train, np.arange(N) % 5 + 1, 0)))
    return tmp_path, truth


def member(folder, name: str, log_hazard: np.ndarray, *, train: np.ndarray | None = None, seeds: int = 1) -> str:
    """Write a model whose left-out and test rows hold `log_hazard` and whose in-sample rows hold `train`."""
    ids = [f"P{i:03d}" for i in range(N)]
    roles = {"train": train if train is not None else log_hazard, "inner": log_hazard, "test": log_hazard}
    rows = [
        {"fold": 1, "seed": seed, "patient_id": ids[i], "role": role, "log_hazard": values[i] + 0.1 * (seed - 1)}
        for seed in range(1, seeds + 1)
        for role, values in roles.items()
        for i in (range(100, N) if role == "test" else range(100))
    ]
    path = folder / f"{name}.tsv"
    write_predictions(path, pd.DataFrame(rows))
    return str(path)


def run(folder, members: dict[str, str], weights: str = "equal") -> pd.DataFrame:
    out = folder / "out.tsv"
    combine_models(
        members=members,
        patients=str(folder / "patients.tsv"),
        splits=str(folder / "splits.tsv"),
        weights=weights,
        out=str(out),
    )
    return read_predictions(out).set_index(["role", "patient_id"])["log_hazard"]


def test_equal_average_by_hand(cohort):
    folder, _ = cohort
    rng = np.random.default_rng(1)
    a, b = rng.normal(3, 2, N), rng.normal(-1, 10, N)
    members = {"a": member(folder, "a", a, train=5 * a, seeds=3), "b": member(folder, "b", b)}
    combined = run(folder, members)
    expected = ((a - a[:100].mean()) / a[:100].std() + (b - b[:100].mean()) / b[:100].std()) / 2
    np.testing.assert_allclose(combined["test"], expected[100:], atol=1e-6)
    np.testing.assert_allclose(combined["inner"], expected[:100], atol=1e-6)
    # in-sample rows are on the scale of the cross-fitted ones
    in_sample = ((5 * a - a[:100].mean()) / a[:100].std() + (b - b[:100].mean()) / b[:100].std()) / 2
    np.testing.assert_allclose(combined["train"], in_sample[:100], atol=1e-6)


def test_scale_and_unit_of_a_member_do_not_matter(cohort):
    folder, truth = cohort
    noise = np.random.default_rng(2).normal(size=N)
    for weights in ("equal", "fitted"):
        one = run(folder, {"a": member(folder, "a", truth), "b": member(folder, "b", noise)}, weights)
        two = run(folder, {"a": member(folder, "a", 100 * truth - 7), "b": member(folder, "b", noise / 50)}, weights)
        np.testing.assert_allclose(one, two, atol=1e-5)


def test_fitted_weights_trust_who_is_right_on_patients_left_out(cohort):
    folder, truth = cohort
    noise = np.random.default_rng(3).normal(size=N)
    # b overfits: perfect on the patients that it was trained on, noise on all others
    members = {"a": member(folder, "a", truth), "b": member(folder, "b", noise, train=10 * truth)}
    combined = run(folder, members, "fitted")
    assert np.corrcoef(combined["test"], truth[100:])[0, 1] > 0.97
    equal = run(folder, members, "equal")
    assert np.corrcoef(equal["test"], truth[100:])[0, 1] < 0.9


def test_fitted_inner_rows_do_not_know_their_own_part(cohort):
    folder, truth = cohort
    noise = np.random.default_rng(4).normal(size=N)
    members = {"a": member(folder, "a", truth), "b": member(folder, "b", noise)}
    before = run(folder, members, "fitted")
    patients = pd.read_csv(folder / "patients.tsv", sep="\t")
    changed = (np.arange(N) < 100) & (np.arange(N) % 5 == 2)
    patients.loc[changed, "time_days"] = 1.0
    patients.loc[changed, "event"] = True
    patients.to_csv(folder / "patients.tsv", sep="\t", index=False)
    after = run(folder, members, "fitted")
    np.testing.assert_array_equal(after["inner"][changed[:100]], before["inner"][changed[:100]])
    assert np.abs(after["inner"] - before["inner"]).max() > 1e-3


def test_test_rows_change_nothing_but_themselves(cohort):
    folder, truth = cohort
    other = truth.copy()
    other[105:] = 1e3
    b = member(folder, "b", -(truth**2))
    for weights in ("equal", "fitted"):
        one = run(folder, {"a": member(folder, "a", truth), "b": b}, weights)
        two = run(folder, {"a": member(folder, "a", other), "b": b}, weights)
        np.testing.assert_array_equal(one["inner"], two["inner"])
        np.testing.assert_array_equal(one["test"][:5], two["test"][:5])


def test_weights_are_never_negative_and_equal_where_nobody_knows_anything():
    rng = np.random.default_rng(5)
    truth = rng.normal(size=200)
    time, event = rng.exponential(np.exp(-truth)), np.ones(200, bool)
    assert fit_weights(np.stack([truth, -truth], axis=1), time, event)[1] == 0
    np.testing.assert_array_equal(fit_weights(np.stack([-truth, -truth], axis=1), time, event), [0.5, 0.5])
    twins = fit_weights(np.stack([truth, truth], axis=1), time, event)
    assert twins[0] == pytest.approx(twins[1])


def test_a_member_without_any_risk_adds_nothing(cohort):
    folder, truth = cohort
    a, constant = member(folder, "a", truth), member(folder, "c", np.zeros(N))
    for weights in ("equal", "fitted"):
        combined = run(folder, {"a": a, "constant": constant}, weights)
        assert np.corrcoef(combined["test"], truth[100:])[0, 1] == pytest.approx(1)


def test_refusals_are_sentences(cohort):
    folder, truth = cohort
    a, b = member(folder, "a", truth), member(folder, "b", truth)
    table = read_predictions(b)
    with pytest.raises(ValueError, match="needs two models or more"):
        run(folder, {"a": a})
    with pytest.raises(ValueError, match="weights is 'best'"):
        run(folder, {"a": a, "b": b}, "best")
    table[table["patient_id"] != "P007"].to_csv(b, sep="\t", index=False)
    with pytest.raises(ValueError, match=r"disagree on 2 rows, such as P007 \(inner, fold 1\)"):
        run(folder, {"a": a, "b": b})
    for path in (a, b):
        table[table["role"] != "inner"].to_csv(path, sep="\t", index=False)
    with pytest.raises(ValueError, match="has no inner rows in fold 1"):
        run(folder, {"a": a, "b": b})
    table.loc[3, "log_hazard"] = np.nan
    with pytest.raises(ValueError, match="is nan: training diverged"):
        write_predictions(folder / "x.tsv", table)
