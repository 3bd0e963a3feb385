"""The shipped profiles: what a run gets from them, and what a cohort costs in jobs."""

import re
from pathlib import Path

import pytest
import yaml

from tests.workflow.test_workflow import ROOT, copy_clone, local_rules, planned, snakemake

WORKSTATION = ROOT / "config" / "profiles" / "workstation"
# two jobs of a rule that the profile gives the GPU, and two of one that it does not; each writes when it ran
RULES = """
rule all:
    input: expand("{rule}{number}.txt", rule=["gpu", "cpu"], number=[1, 2])

rule train_model:
    output: "gpu{number}.txt"
    shell: "date +%s.%N > {output}; sleep 2; date +%s.%N >> {output}"

rule other:
    output: "cpu{number}.txt"
    shell: "date +%s.%N > {output}; sleep 2; date +%s.%N >> {output}"
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clone in which nothing has run."""
    return copy_clone(tmp_path_factory.mktemp("profiles") / "clone")


def times(path: Path) -> tuple[float, float]:
    """Return the start and the end that a job wrote."""
    start, end = map(float, path.read_text().split())
    return start, end


def overlap(one: Path, other: Path) -> bool:
    """Tell whether two jobs ran at the same time."""
    (start, end), (other_start, other_end) = times(one), times(other)
    return start < other_end and other_start < end


def test_on_a_workstation_jobs_share_the_machine_and_take_turns_on_its_gpu(tmp_path: Path):
    (tmp_path / "Snakefile").write_text(RULES)
    snakemake("--profile", str(WORKSTATION), "--cores", "4", "--sdm", "env-modules", folder=tmp_path)
    assert not overlap(tmp_path / "gpu1.txt", tmp_path / "gpu2.txt")
    assert overlap(tmp_path / "cpu1.txt", tmp_path / "cpu2.txt")


def test_the_workstation_profile_knows_every_rule_that_takes_a_gpu():
    text = (WORKSTATION / "profile.v9+.yaml").read_text()
    limited = set(yaml.safe_load(text[text.index("set-resources:") :])["set-resources"])
    rules = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    blocks = re.findall(r"^ *rule (\w+):\n((?:(?!^ *rule ).*\n)*)", rules, re.M)
    assert limited == {name for name, block in blocks if "**GPU" in block}


def test_the_workstation_profile_plans_the_demo(clone: Path):
    output = snakemake("-n", "--profile", str(WORKSTATION), folder=clone)
    assert planned(output)["embed_slides"] == 8
    assert "gpu=1" in output


def test_the_jobs_of_a_cohort_on_slurm_are_as_many_as_the_guide_says(clone: Path):
    # slides come in batches, so that their number does not count
    plan = planned(snakemake("-n", "--profile", "slurm", "--config", "cohorts=[tcga-brca]", folder=clone))
    submitted = {rule: count for rule, count in plan.items() if rule not in local_rules(clone) | {"all"}}
    guide = (ROOT / "docs" / "deployment.md").read_text()
    said = re.search(r"A cohort of 1,000 slides makes (\d+) Slurm jobs", guide)
    assert sum(submitted.values()) == int(said[1]), submitted
    assert submitted["embed_slides"] == submitted["fetch_slides"] == 8


def test_rules_that_use_the_network_go_to_the_partition_that_the_site_names(clone: Path):
    settings = ["--config", "cohorts=[tcga-brca]", "transfer=dtn"]
    output = snakemake("-n", "--profile", "slurm", *settings, folder=clone)
    blocks = re.findall(r"^rule (\w+):\n((?: .*\n)+)", output, re.M)
    assert {rule for rule, block in blocks if "slurm_partition=dtn" in block} == {
        "lock_cohort",
        "fetch_files",
        "fetch_slides",
    }
