import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lifelines.utils import concordance_index

from pathgptomic.config import compose_schemas, with_defaults
from pathgptomic.report.evaluate import METRIC_COLUMNS, TABLES, comparison_pairs, evaluate_models
from pathgptomic.report.groups import PATIENT_TABLES
from pathgptomic.report.settings import EvaluationSettings
from pathgptomic.report.statistics import corrected_t, holm
from tests.unit.report.synthetic import write_cohort, write_predictions

SETTINGS = EvaluationSettings(bootstrap=400, permutations=20, subgroups=("stratum", "idh"))
SIGNALS = {"clinical-cox": 1.0, "late-fusion": 1.0, "strong": 2.5, "blind": 0.0}
MODELS = {
    name: {"kind": "baseline" if name == "clinical-cox" else "model", "title": name.title(), "family": "test"}
    for name in SIGNALS
}

TWO = {name: MODELS[name] for name in ("clinical-cox", "strong")}


def run(folder: Path, models=MODELS, settings=SETTINGS) -> dict[str, pd.DataFrame]:
    out = {name: folder / f"of {len(models)}" / f"{name}.tsv" for name in TABLES}
    evaluate_models(
        predictions={name: folder / f"{name}.tsv" for name in models},
        models=models,
        patients=folder / "patients.tsv",
        splits=folder / "splits.tsv",
        settings=settings,
        out=out | {"methods": folder / f"of {len(models)}" / "methods.json"},
    )
    return {name: pd.read_csv(path, sep="\t", dtype={"fold": str, "seed": str}) for name, path in out.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = write_cohort(tmp_path_factory.mktemp("cohort"), patients=200, folds=4, scheme="monte-carlo")
    for name, signal in SIGNALS.items():
        write_predictions(folder, name, signal=signal, seeds=2 if name == "strong" else 1)
    return folder


@pytest.fixture(scope="module")
def tables(folder) -> dict[str, pd.DataFrame]:
    return run(folder)


@pytest.fixture(scope="module")
def two(folder) -> dict[str, pd.DataFrame]:
    return run(folder, TWO)


@pytest.fixture
def copy(folder, tmp_path) -> Path:
    shutil.copytree(folder, tmp_path / "copy")
    return tmp_path / "copy"


def value(metrics: pd.DataFrame, model: str, metric: str, fold: str = "1", seed: str = "mean") -> float:
    chosen = metrics.query("model == @model and metric == @metric and fold == @fold and seed == @seed")
    assert len(chosen) == 1
    return chosen["value"].item()


def test_headline_c_is_that_of_lifelines_on_the_seeds_mean(folder, tables):
    outcome = pd.read_csv(folder / "patients.tsv", sep="\t").set_index("patient_id")
    rows = pd.read_csv(folder / "strong.tsv", sep="\t").query("fold == 2 and role == 'test'")
    by_seed = dict(iter(rows.groupby("seed")))
    mean = rows.groupby("patient_id")["log_hazard"].mean()
    for seed, risk in {
        "mean": mean,
        **{str(seed): part.set_index("patient_id")["log_hazard"] for seed, part in by_seed.items()},
    }.items():
        patients = outcome.loc[risk.index]
        expected = concordance_index(patients["time_days"], -risk, patients["event"])
        assert value(tables["metrics"], "strong", "harrell_c", "2", seed) == pytest.approx(expected, abs=1e-9)


def test_metrics_are_long_and_say_patients_and_deaths(tables):
    metrics = tables["metrics"]
    assert tuple(metrics.columns) == METRIC_COLUMNS
    assert not metrics.duplicated(["model", "metric", "fold", "seed", "subset"]).any()
    assert set(metrics["fold"]) == {"1", "2", "3", "4", "pooled"}
    assert set(metrics.query("model == 'strong'")["seed"]) == {"mean", "0", "1"}
    assert (metrics["events"] <= metrics["n"]).all()
    assert (metrics.query("fold != 'pooled' and metric == 'harrell_c'")["n"] == 40).all()
    assert (metrics["value"].isna() == metrics["note"].notna()).all()
    pooled = metrics[metrics["fold"] == "pooled"].groupby("metric")["value"]
    assert pooled.count()[["uno_c", "auc", "auc_36m", "ibs", "ipa", "dcal_p", "calibration_slope"]].eq(4).all()
    within = metrics.query("metric == 'harrell_c_within' and model == 'strong' and fold == 'pooled'")
    levels = ["idh", "idh=mutant", "idh=wildtype", "stratum", "stratum=high grade", "stratum=low grade"]
    assert sorted(within["subset"]) == levels
    counts = within.set_index("subset")["n"]
    assert counts["idh"] == counts["idh=mutant"] + counts["idh=wildtype"] < counts["stratum"]


def test_better_predictions_score_better_and_blind_ones_do_not(tables):
    summary = tables["summary"].set_index("model")
    assert summary.loc["strong", "c_mean"] > summary.loc["late-fusion", "c_mean"] > summary.loc["blind", "c_mean"]
    assert summary.loc["strong", "ibs"] < summary.loc["blind", "ibs"]
    assert summary.loc["strong", "ipa"] > 0.1 > summary.loc["blind", "ipa"]
    assert abs(summary.loc["blind", "c_pooled"] - 0.5) < 0.1
    assert ((summary["c_permuted"] - 0.5).abs() < 0.03).all()
    assert (summary["c_permuted_low"] < 0.5).all()
    assert (summary["c_permuted_high"] < summary["c_pooled"]).drop("blind").all()
    assert (summary["optimism"] > 0.05).loc["blind"]


def test_summary_repeats_the_long_tables(tables):
    summary, metrics = tables["summary"].set_index("model"), tables["metrics"]
    assert list(summary.index) == list(MODELS)
    for model, row in summary.iterrows():
        c = metrics.query("model == @model and metric == 'harrell_c' and seed == 'mean' and fold != 'pooled'")["value"]
        assert row["c_mean"] == pytest.approx(c.mean())
        assert row["c_sd"] == pytest.approx(c.std())
        interval = corrected_t(c.to_numpy(), 40 / 160)
        assert (row["c_ci_low"], row["c_ci_high"]) == pytest.approx((interval.ci_low, interval.ci_high))
        assert "Nadeau-Bengio" in row["ci_method"]
        assert row["c_pooled"] == pytest.approx(value(metrics, model, "harrell_c", "pooled"))
        assert row["c_pooled_low"] < row["c_pooled"] < row["c_pooled_high"]
    assert summary.loc["strong", "seeds"] == 2
    assert summary.loc["strong", "c_seed_sd"] > 0
    assert np.isnan(summary.loc["blind", "c_seed_sd"])
    chosen = tables["comparisons"].query(
        "model == 'strong' and against == 'clinical-cox' and metric == 'harrell_c' and test == 'nadeau-bengio'"
    )
    assert summary.loc["strong", "delta_clinical"] == pytest.approx(chosen["delta"].item())
    assert summary.loc["strong", "delta_clinical_verdict"] == chosen["verdict"].item()
    assert np.isnan(summary.loc["late-fusion", "delta_late_fusion"])


def test_primary_comparisons_are_those_of_the_first_model_and_adjusted_among_themselves(copy):
    models = {
        "strong": MODELS["strong"] | {"with_clinical": "blind"},
        **{name: MODELS[name] for name in ("blind", "late-fusion", "clinical-cox")},
    }
    primary = {("strong", "clinical-cox"), ("strong", "late-fusion"), ("blind", "clinical-cox")}
    pairs = comparison_pairs(models, SETTINGS)
    assert {(pair.model, pair.against) for pair in pairs if pair.primary} == primary
    comparisons = run(copy, models)["comparisons"]
    for (_, _, is_primary), family in comparisons.groupby(["metric", "test", "primary"]):
        assert (family["family"] == len(family)).all()
        assert len(family) == (3 if is_primary else len(pairs) - 3)
        np.testing.assert_allclose(family["p_adjusted"], holm(family["p"].to_numpy()))


def test_comparisons_are_paired_and_adjusted_over_their_family(tables):
    comparisons, metrics = tables["comparisons"], tables["metrics"]
    pairs = {(pair.model, pair.against) for pair in comparison_pairs(MODELS, SETTINGS)}
    assert pairs == {
        ("late-fusion", "clinical-cox"),
        ("strong", "clinical-cox"),
        ("blind", "clinical-cox"),
        ("strong", "late-fusion"),
        ("blind", "late-fusion"),
    }
    assert set(zip(comparisons["model"], comparisons["against"], strict=True)) == pairs
    whole = metrics[(metrics["seed"] == "mean") & metrics["subset"].isna()]
    by_fold = whole.pivot(index="fold", columns=["model", "metric"], values="value")
    for (metric, test), family in comparisons.groupby(["metric", "test"]):
        assert len(family) == len(pairs)
        assert (family["family"] == len(pairs)).all()
        np.testing.assert_allclose(family["p_adjusted"], holm(family["p"].to_numpy()))
        for row in family.itertuples():
            difference = by_fold[row.model, metric] - by_fold[row.against, metric]
            expected = difference["pooled"] if test == "bootstrap" else difference.drop("pooled").mean()
            assert row.delta == pytest.approx(expected, abs=1e-9)
            assert row.ci_low < row.delta < row.ci_high
            assert (row.ci_low > 0 or row.ci_high < 0) == (row.p < 0.05)
    blind = comparisons.query("model == 'blind' and against == 'clinical-cox'").set_index(["metric", "test"])
    assert blind.loc[("harrell_c", "bootstrap"), "verdict"] == "worse"
    assert blind.loc[("ibs", "bootstrap"), "verdict"] == "worse"
    assert blind.loc[("ibs", "bootstrap"), "delta"] > 0


def test_patient_tables_agree_with_one_another(tables):
    for name, columns in PATIENT_TABLES.items():
        assert tuple(tables[name].columns[: len(columns)]) == columns
    risks, groups, survival = tables["risks"], tables["risk_groups"], tables["survival_curves"]
    tested = risks.query("model == 'strong'")
    assert tested["patient_id"].is_unique
    pooled = groups.query("model == 'strong' and fold == 'pooled'").set_index("group")
    assert pooled["n"].sum() == len(tested)
    assert pooled["events"].sum() == tested["event"].sum()
    assert pooled["label"].tolist() == ["low", "intermediate", "high"]
    assert pooled["logrank_p"].nunique() == 1
    assert pooled["logrank_p"].iloc[0] < 1e-6
    assert np.isnan(pooled.loc[1, "hazard_ratio"])
    assert pooled.loc[3, "hazard_ratio"] > pooled.loc[2, "hazard_ratio"] > 1
    for group, curve in survival.query("model == 'strong'").groupby("group"):
        assert curve["at_risk"].iloc[0] == pooled.loc[group, "n"] == (tested["group"] == group).sum()
        assert curve["deaths"].sum() == pooled.loc[group, "events"]
        assert curve["survival"].is_monotonic_decreasing
    calibration = tables["calibration"].query("model == 'strong' and horizon == '36m'").set_index("group")
    assert calibration.loc[0, "predicted"] == pytest.approx(tested["survival_36m"].mean())
    assert calibration.loc[1:, "n"].sum() == len(tested)


def test_neither_scale_nor_fold_offsets_of_a_model_matter(folder, two, copy):
    table = pd.read_csv(folder / "strong.tsv", sep="\t")
    table["log_hazard"] = 7 * table["log_hazard"] + 100 * table["fold"]
    table.to_csv(copy / "strong.tsv", sep="\t", index=False)
    changed = run(copy, TWO)
    for name in ("metrics", "comparisons", "summary", "survival_curves", "calibration", "risks"):
        pd.testing.assert_frame_equal(changed[name], two[name], rtol=1e-6, atol=1e-9)


def test_the_same_seed_gives_the_same_numbers_and_another_seed_other_intervals(folder, two, copy):
    pd.testing.assert_frame_equal(run(copy, TWO)["comparisons"], two["comparisons"])
    other = run(copy, TWO, settings=EvaluationSettings(bootstrap=400, permutations=20, seed=1))["comparisons"]
    bootstrap = other["test"] == "bootstrap"
    np.testing.assert_allclose(other["delta"], two["comparisons"]["delta"])
    assert (other["ci_low"] != two["comparisons"]["ci_low"])[bootstrap].all()
    assert (other["ci_low"] == two["comparisons"]["ci_low"])[~bootstrap].all()


def test_cut_offs_do_not_move_with_the_test_part(folder, two, copy):
    table = pd.read_csv(folder / "strong.tsv", sep="\t")
    table.loc[table["role"] == "test", "log_hazard"] += 1000
    table.to_csv(copy / "strong.tsv", sep="\t", index=False)
    moved = run(copy, TWO)["risk_groups"].query("model == 'strong'")
    before = two["risk_groups"].query("model == 'strong'")
    pd.testing.assert_frame_equal(moved[["cut_low", "cut_high"]], before[["cut_low", "cut_high"]])
    assert (moved.query("label != 'high'")["n"] == 0).all()


def test_predictions_without_cross_fitted_rows_have_no_survival(folder, copy):
    table = pd.read_csv(folder / "strong.tsv", sep="\t")
    table[table["role"] == "test"].to_csv(copy / "strong.tsv", sep="\t", index=False)
    tables = run(copy, {name: MODELS[name] for name in ("clinical-cox", "strong", "blind")})
    chosen = tables["metrics"].query("model == 'strong' and fold == 'pooled'").set_index("metric")
    assert np.isnan(chosen.loc["ibs", "value"])
    assert "cross-fitted" in chosen.loc["ibs", "note"]
    assert chosen.loc["uno_c", "value"] > 0.6
    assert np.isnan(tables["summary"].set_index("model").loc["strong", "optimism"])
    assert "strong" not in set(tables["survival_curves"]["model"]) | set(tables["calibration"]["model"])
    untested = tables["comparisons"].query("model == 'strong' and metric == 'ibs'")
    assert (untested["verdict"] == "not tested").all()
    assert (tables["comparisons"].query("model != 'strong' and metric == 'ibs'")["family"] == 1).all()


def test_one_fold_has_no_t_test_and_a_fold_without_pairs_no_value(tmp_path):
    write_cohort(tmp_path, patients=60, folds=2)
    splits = pd.read_csv(tmp_path / "splits.tsv", sep="\t")
    splits[splits["fold"] == 1].to_csv(tmp_path / "splits.tsv", sep="\t", index=False)
    for name in ("clinical-cox", "strong"):
        write_predictions(tmp_path, name, signal=1)
    tables = run(tmp_path, TWO)
    folds = tables["comparisons"].query("test == 'nadeau-bengio'")
    assert folds["p"].isna().all()
    assert (folds["note"] == "one fold: no variance over folds, no t-test").all()
    assert (folds["verdict"] == "not tested").all()
    assert tables["comparisons"].query("test == 'bootstrap'")["p"].notna().all()
    summary = tables["summary"].set_index("model")
    assert np.isnan(summary.loc["strong", "c_sd"])
    assert "one fold" in summary.loc["strong", "ci_method"]
    assert summary.loc["strong", "c_mean"] == pytest.approx(summary.loc["strong", "c_pooled"])

    patients = pd.read_csv(tmp_path / "patients.tsv", sep="\t")
    tested = set(splits.query("fold == 1 and role == 'test'")["patient_id"])
    patients.loc[patients["patient_id"].isin(tested), "event"] = False
    patients.to_csv(tmp_path / "patients.tsv", sep="\t", index=False)
    metrics = run(tmp_path, TWO)["metrics"].query("model == 'strong' and fold == '1' and seed == 'mean'")
    discrimination = metrics[metrics["metric"].isin(["harrell_c", "uno_c", "auc", "ibs", "harrell_c_permuted"])]
    assert len(discrimination) == 5
    assert discrimination["value"].isna().all()
    assert discrimination["note"].notna().all()
    assert (discrimination["n"] == 30).all()
    assert (discrimination["events"] == 0).all()


def test_many_tiny_test_parts_are_pooled_on_the_scale_of_the_training_part(tmp_path):
    # 18 sites of 5 patients: ranks within a site know nothing of the other sites
    write_cohort(tmp_path, patients=90, folds=18)
    for name in ("clinical-cox", "strong"):
        write_predictions(tmp_path, name, signal=2)
    tables = run(tmp_path, TWO, EvaluationSettings(bootstrap=100, permutations=2))
    rows = pd.read_csv(tmp_path / "strong.tsv", sep="\t").query("role == 'test'").set_index("patient_id")
    outcome = pd.read_csv(tmp_path / "patients.tsv", sep="\t").set_index("patient_id").loc[rows.index]
    same_scale = concordance_index(outcome["time_days"], -rows["log_hazard"], outcome["event"])
    assert value(tables["metrics"], "strong", "harrell_c", "pooled") == pytest.approx(same_scale, abs=0.01)
    methods = json.loads((tmp_path / "of 2" / "methods.json").read_text())
    assert "among the cross-fitted risks" in methods["definitions"]["pooled"]


def test_methods_say_what_was_done(folder, tables):
    methods = json.loads((folder / "of 4" / "methods.json").read_text())
    assert methods["test_parts"] == "overlapping"
    assert methods["test_to_train_ratio"] == 0.25
    assert methods["family_size"] == dict.fromkeys(methods["family_size"], 5)
    assert "harrell_c, nadeau-bengio, exploratory" in methods["family_size"]
    assert methods["windows"]["pooled"]["patients"] == tables["summary"]["patients"].iloc[0]
    assert methods["definitions"]["auc"].endswith("this is not the plain mean.")
    assert methods["settings"]["bootstrap"] == 400


def test_a_reference_that_is_not_run_is_said_and_has_empty_columns(copy, caplog):
    with caplog.at_level(logging.WARNING):
        summary = run(copy, {"clinical-cox": MODELS["clinical-cox"]})["summary"]
    assert "late-fusion" in caplog.text
    assert summary["delta_late_fusion"].isna().all()


def test_schema_and_settings_have_the_same_defaults(root):
    config, cohort = compose_schemas(root / "config" / "schemas")
    section = with_defaults({}, config["properties"]["report"])
    subgroups = cohort["properties"]["subgroups"]["default"]
    assert EvaluationSettings.from_config(section, subgroups=subgroups, seed=17) == EvaluationSettings()
