"""Upgrading, and running again on new data: only what has changed is done anew."""

from pathlib import Path

import pytest

from tests.workflow.test_workflow import planned, snakemake

FIGURES = {"plot_forest", "plot_gap", "plot_balance", "plot_survival_curves", "plot_calibration"}
EVALUATED = {"evaluate_models", *FIGURES, "record_run", "write_report", "all"}
TRAINED = {"train_model", "summarise_balance"}
BUILT = {"build_cohort", "make_splits", "pack_slides", "fit_baseline", "plot_flow"}


def rules(plan: str) -> set[str]:
    """Return the rules of a dry run, none where nothing is to be done."""
    return set(planned(plan)) if "Job stats" in plan else set()


def options(setting: str, folder: Path) -> list[str]:
    """Return the options that add settings to those of a clone."""
    path = folder / "setting.yaml"
    path.write_text(f"{setting}\n")
    return ["--configfile", str(path), "--"]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("report: {bootstrap: 101}", EVALUATED),
        ("survival: {models: {slides: {training: {epochs: 4}}}}", TRAINED | EVALUATED),
        ("survival: {seeds: 2}", TRAINED | EVALUATED),
        ("offline: {folder: elsewhere}", set()),
        ("gpu_request: gres", set()),
    ],
)
def test_a_setting_redoes_the_rules_that_read_it(little_run: Path, setting: str, expected: set[str]):
    plan = snakemake("-n", *options(setting, little_run), folder=little_run)
    assert rules(plan) == expected


def test_another_setting_of_one_model_trains_that_model_alone(little_run: Path):
    setting = "survival: {models: {slides: {training: {epochs: 4}}}}"
    assert planned(snakemake("-n", *options(setting, little_run), folder=little_run))["train_model"] == 1


def test_another_seed_redoes_whatever_is_random_and_no_table(little_run: Path):
    done = rules(snakemake("-n", "--config", "seed=18", folder=little_run))
    assert {"make_splits", "train_model", "evaluate_models"} <= done


def test_a_changed_table_redoes_the_cohort_and_what_follows(little_run: Path):
    table = little_run / "resources" / "little" / "clinical.tsv"
    content = table.read_text()
    try:
        table.write_text(content)
        assert rules(snakemake("-n", folder=little_run)) == set()  # a new date alone is no change
        first, last = content.rstrip("\n").rsplit("\n", 1)
        table.write_text(f"{first}\n")  # a patient has been taken out
        assert last
        plan = snakemake("-n", folder=little_run)
        assert rules(plan) == BUILT | TRAINED | EVALUATED
    finally:
        table.write_text(content)


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("report/figures_forest.py", {"plot_forest", "record_run", "write_report", "all"}),
        ("survival/fusion.py", TRAINED | EVALUATED),
        ("cohort/gdc/download.py", set()),
        ("operations/cost.py", set()),
    ],
)
def test_an_upgrade_redoes_the_rules_that_reach_the_changed_module(little_run: Path, module: str, expected: set[str]):
    path = little_run / "scripts" / "pathgptomic" / module
    text = path.read_text()
    try:
        path.write_text(f"{text}\n# a change\n")
        plan = snakemake("-n", folder=little_run)
    finally:
        path.write_text(text)
    assert rules(plan) == expected


def test_what_is_redone_is_only_that(little_run: Path):
    results = little_run / "results" / "little"
    kept = ["cohort/patients.tsv", "models/fused/predictions.tsv", "slides/bags.npy"]
    before = {name: (results / name).stat().st_mtime_ns for name in kept}
    evaluated = (results / "evaluation" / "metrics.tsv").stat().st_mtime_ns
    snakemake("--cores", "2", *options("report: {bootstrap: 102}", little_run), folder=little_run)
    assert {name: (results / name).stat().st_mtime_ns for name in kept} == before
    assert (results / "evaluation" / "metrics.tsv").stat().st_mtime_ns > evaluated
    snakemake("--cores", "2", folder=little_run)
