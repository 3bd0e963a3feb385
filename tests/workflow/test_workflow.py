"""The workflow as a user meets it: plans, refusals, the whole demo, reruns. Everything here runs the real Snakemake."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
DEMO = ["--configfile", "config/demo.yaml"]
CLONE = ["Snakefile", "rules", "scripts", "envs", "containers", "config", "slurm", "tests"]


def snakemake(*arguments: str, folder: Path, check: bool = True) -> str:
    """Run Snakemake in a clone and return what it printed."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "200",
    }
    run = subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    output = run.stdout + run.stderr
    assert not check or run.returncode == 0, output[-6000:]
    return output


def planned(output: str) -> dict[str, int]:
    """Return the jobs of a dry run by rule."""
    table = output[output.index("Job stats:") :]
    return {rule: int(count) for rule, count in re.findall(r"^(\w+)\s+(\d+)$", table, re.M) if rule != "total"}


def local_rules(clone: Path) -> set[str]:
    """Return the rules that run beside Snakemake even where jobs go to a cluster."""
    listed = re.search(r"^localrules:\n((?: +\w+,\n)+)", (clone / "Snakefile").read_text(), re.M)
    return set(re.findall(r"\w+", listed[1]))


def copy_clone(folder: Path) -> Path:
    """Copy what git tracks of the workflow, without the history."""
    folder.mkdir()
    for name in CLONE:
        source = ROOT / name
        if source.is_symlink():
            (folder / name).symlink_to(os.readlink(source))
        elif source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.sif"))
        elif source.exists():
            shutil.copy(source, folder / name)
    return folder


def test_the_slurm_profile_resolves_from_the_root(fresh: Path):
    assert (ROOT / "slurm").is_symlink()
    plan = planned(snakemake("-n", "--profile", "slurm", folder=fresh))
    assert {"build_gdc_cohort", "embed_slides", "train_model", "evaluate_models", "write_report"} <= plan.keys()


def test_regions_are_cut_only_where_a_model_reads_them(fresh: Path):
    targets = [f"results/demo/models/rois-{name}/predictions.tsv" for name in ("balanced", "plain", "alone")]
    plan = planned(snakemake("-n", "--configfile", "config/rois.yaml", "--", *targets, folder=fresh))
    assert (plan["crop_rois"], plan["train_model"]) == (1, 3)
    assert "embed_slides" not in plan
    assert "crop_rois" not in planned(snakemake("-n", folder=fresh))


@pytest.mark.parametrize(
    ("arguments", "sentences"),
    [
        (["--config", "cohort=[demo]"], ["unknown key 'cohort' in the top level (did you mean 'cohorts'?)"]),
        (["--config", "cohorts=[dmeo]"], ["unknown cohort 'dmeo'", "did you mean 'demo'?"]),
        (["--config", "seed=many"], ["'seed' is \"many\"; it must be a whole number"]),
        (["--config", "seed=many", "device=gpu"], ["'seed' is \"many\"", "'device' is \"gpu\""]),
        (["--sdm", "conda", "apptainer", "--"], ["asks for conda and Apptainer at once"]),
    ],
)
def test_a_wrong_configuration_is_refused_before_any_job(fresh: Path, arguments: list[str], sentences: list[str]):
    output = snakemake("-n", *arguments, folder=fresh, check=False)
    for sentence in sentences:
        assert sentence in output
    assert "Job stats" not in output
    assert "Traceback" not in output


def test_a_second_run_has_nothing_to_do(demo: Path):
    assert "Nothing to be done" in snakemake("-n", *DEMO, folder=demo)


@pytest.mark.parametrize(
    ("module", "rules"),
    [
        ("report/metrics.py", {"evaluate_models"}),
        ("survival/network.py", {"train_model"}),
        ("cohort/splits.py", {"make_splits"}),
    ],
)
def test_a_changed_module_reruns_the_rules_that_reach_it_and_what_follows(demo: Path, module: str, rules: set[str]):
    path = demo / "scripts" / "pathgptomic" / module
    text = path.read_text()
    try:
        path.write_text(f"{text}\n# a change\n")
        output = snakemake("-n", *DEMO, folder=demo)
    finally:
        path.write_text(text)
    changed = set(re.findall(r"rule (\w+):(?:(?!\n\n).)*?Params have changed", output, re.S))
    assert changed == rules


@pytest.mark.parametrize(
    ("lost", "jobs"),
    [
        ("report/report.html", {"write_report"}),
        ("evaluation/summary.tsv", {"evaluate_models"}),
    ],
)
def test_a_lost_file_is_made_again_by_its_own_rule_alone(demo: Path, lost: str, jobs: set[str]):
    path = demo / "results" / "demo" / lost
    kept = path.with_suffix(".kept")
    path.rename(kept)
    try:
        plan = planned(snakemake("-n", *DEMO, "--", f"results/demo/{lost}", folder=demo))
    finally:
        kept.rename(path)
    assert plan.keys() == jobs


def test_the_report_is_one_file_without_outside_references(demo: Path):
    text = (demo / "results" / "demo" / "report" / "report.html").read_text()
    assert "<script src" not in text
    assert not re.search(r"""(?:src|href)=["']?https?://""", text)


def test_the_report_shows_what_was_read_of_the_slides_and_where_a_model_looked(demo: Path):
    slides = demo / "results" / "demo" / "slides"
    text = (demo / "results" / "demo" / "report" / "report.html").read_text()
    section = text[text.index('<section id="slides">') :].partition("</section>")[0]
    assert section.count('<img src="data:image/jpeg;base64,') == 2  # contact sheet, heatmaps
    assert "states neither microns per pixel nor an objective power" in section
    assert "none of which was fitted on that patient" in section
    assert "marker pen" in section
    table = pd.read_csv(slides / "slides.tsv", sep="\t")
    drawn = {path.stem for path in (slides / "heatmaps" / "slides-attention").glob("*.png")}
    assert drawn == set(table.loc[table["status"] == "ok", "patient_id"])
    assert table["status"].value_counts().to_dict().keys() == {"ok", "skipped"}
