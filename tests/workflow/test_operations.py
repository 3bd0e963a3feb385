"""What a run leaves behind about itself: run.json, the run facts of the report, the RO-Crate, its cost."""

import hashlib
import json
import re
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from pathgptomic import __version__
from tests.workflow.test_workflow import snakemake

# the terms of the RO-Crate context that our crates use, and the checks that ask whether that context is on the web
TERMS = {
    "@vocab": "http://schema.org/",
    "File": "http://schema.org/MediaObject",
    "conformsTo": "http://purl.org/dc/terms/conformsTo",
}
ON_THE_WEB = {"ro-crate-1.1_3.1", "ro-crate-1.1_3.2"}


@pytest.fixture(scope="module")
def run(little_run: Path) -> dict:
    return json.loads((little_run / "results" / "little" / "report" / "run.json").read_text())


def test_every_result_has_a_job_and_every_job_its_circumstances(little_run: Path, run: dict):
    made = {job["record"]: job for job in run["jobs"]}
    assert {job["rule"] for job in run["jobs"]} >= {"simulate_cohort", "build_cohort", "train_model", "evaluate_models"}
    for path, found in run["files"].items():
        assert found["made_by"] in made, path  # all of this run is made, down to its simulated tables
        assert path in made[found["made_by"]]["output"] or (little_run / path).is_file()
    for job in run["jobs"]:
        assert job["seconds"] > 0
        assert job["peak_mb"] > 20
        assert job["host"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", job["began"])
        assert job["code"]["version"] == __version__
        assert re.fullmatch(r"[0-9a-f]{16}", job["code"]["digest"])
        assert {"python", "numpy"} <= job["packages"].keys()
        assert set(job["input"]) <= run["files"].keys()
    assert {job["seed"] for job in run["jobs"] if job["rule"] == "train_model"} == {17}
    assert all("torch" in job["packages"] for job in run["jobs"] if job["rule"] == "train_model")


def test_hashes_are_those_of_sha256sum(little_run: Path, run: dict):
    path = "results/little/cohort/patients.tsv"
    assert run["files"][path]["sha256"] == hashlib.sha256((little_run / path).read_bytes()).hexdigest()
    folder = "resources/little/features"
    command = "find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum"
    written = subprocess.run(["bash", "-c", command], cwd=little_run / folder, capture_output=True, text=True).stdout
    assert run["files"][folder]["sha256"] == written.split()[0]
    assert run["files"][folder]["count"] == len(list((little_run / folder).iterdir()))


def test_the_report_prints_what_the_jobs_say(little_run: Path, run: dict):
    page = (little_run / "results" / "little" / "report" / "report.html").read_text()
    assert run["files"]["results/little/cohort/splits.tsv"]["sha256"] in page
    assert run["jobs"][0]["host"] in page
    assert f"version {__version__} without git" in page or run["jobs"][0]["code"]["commit"] in page
    assert "Jobs behind this report" in page


def test_the_crate_is_valid_and_complete(little_run: Path, run: dict, monkeypatch: pytest.MonkeyPatch):
    from rocrate.rocrate import ROCrate

    snakemake("--cores", "1", "ro_crate", folder=little_run)
    root = little_run / "results" / "little"
    crate = ROCrate(str(root))
    actions = [entity for entity in crate.get_entities() if entity.type == "CreateAction"]
    assert len(actions) == len(run["jobs"]) + 2  # record_run and write_report besides
    trained = next(action for action in actions if action["name"].startswith("train_model (cohort little, model fused"))
    assert trained["instrument"]["softwareVersion"].startswith(__version__)
    results = {entity.id for entity in trained["result"]}
    assert "models/fused/predictions.tsv" in results
    report = crate.dereference("report/report.html")
    assert report["sha256"] == hashlib.sha256((root / "report" / "report.html").read_bytes()).hexdigest()
    assert all((root / entity.id).exists() for entity in crate.data_entities if not entity.id.startswith("#"))
    assert required_issues(root, monkeypatch) == []


def required_issues(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what a crate lacks of the profile's requirements; its JSON-LD context, which is on the web, is given."""
    from rdflib.plugins.shared.jsonld.context import Context
    from rocrate_validator import models, services

    monkeypatch.setattr(Context, "_fetch_context", lambda self, source, base, referenced: {"@context": TERMS})
    settings = services.ValidationSettings(
        rocrate_uri=str(root),
        profile_identifier="process-run-crate-0.5",
        requirement_severity=models.Severity.REQUIRED,
    )
    issues = services.validate(settings).get_issues()
    return [
        f"{issue.check.identifier}: {issue.message}" for issue in issues if issue.check.identifier not in ON_THE_WEB
    ]


def test_the_cost_of_every_stage_is_summed(little_run: Path):
    output = snakemake("--cores", "1", "cost", folder=little_run)
    table = pd.read_csv(little_run / "results" / "cost.tsv", sep="\t").set_index("stage")
    assert {"gdc", "cohort", "slides", "survival", "report", "all"} <= set(table.index)
    benchmarks = [pd.read_csv(path, sep="\t") for path in (little_run / "benchmarks").rglob("train_model/*.tsv")]
    benchmarks += [pd.read_csv(path, sep="\t") for path in (little_run / "benchmarks").rglob("fit_baseline/*.tsv")]
    assert table.loc["survival", "jobs"] == len(benchmarks) == 3
    assert table.loc["survival", "hours"] == pytest.approx(sum(part["s"].sum() for part in benchmarks) / 3600, abs=1e-3)
    assert table.loc["survival", "peak_mb"] >= max(part["max_rss"].max() for part in benchmarks) - 1
    parts = table.drop(index="all")
    assert table.loc["all", "jobs"] == parts["jobs"].sum()
    assert table.loc["all", "cpu_hours"] == pytest.approx(parts["cpu_hours"].sum(), abs=1e-3)
    assert table.loc["all", "peak_mb"] == parts["peak_mb"].max()
    assert table.loc["cohort", "disk_mb"] > 0
    assert table["gpu_hours"].sum() == 0
    assert "survival" in output.split("cost of")[1]  # it is printed too
    assert "Nothing to be done" in snakemake("-n", "cost", folder=little_run)
