"""The cohort files that come with the workflow are valid, and Snakemake can plan them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pathgptomic.cohort.gdc.query import file_filter
from pathgptomic.config import load

TCGA = ("gbmlgg", "kirc", "kirp", "blca", "luad", "ucec", "brca", "coadread", "stad", "hnsc")


def planned(root: Path, folder: Path, *words: str) -> dict[str, int]:
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "-n",
        "-s",
        str(root / "Snakefile"),
        "--directory",
        str(folder),
        *words,
    ]
    run = subprocess.run(command, capture_output=True, text=True, cwd=root)
    output = run.stdout + run.stderr
    assert run.returncode == 0, output[-3000:]
    table = output[output.index("Job stats:") :]
    return {rule: int(count) for rule, count in re.findall(r"^(\w+)\s+(\d+)$", table, re.M) if rule != "total"}


@pytest.fixture(scope="module")
def cohorts(root) -> dict:
    return load({"cohorts": [f"tcga-{name}" for name in TCGA]}, root)[1]


def test_every_ready_cohort_is_valid(root, cohorts):
    files = {path.stem for path in (root / "config" / "cohorts").glob("tcga-*.yaml")}
    assert files == set(cohorts)
    for cohort in cohorts.values():
        assert cohort["source"] == "gdc"
        assert all(project.startswith("TCGA-") for project in cohort["gdc"]["projects"])
        assert cohort["site"]["barcode"] == [6, 7]
    projects = [project for cohort in cohorts.values() for project in cohort["gdc"]["projects"]]
    assert len(projects) == len(set(projects)) == 12


def test_what_is_asked_of_the_gdc(cohorts):
    cohort = cohorts["tcga-gbmlgg"]
    asked = file_filter(cohort["modalities"], cohort["gdc"])
    projects, kinds = asked["content"]
    assert projects["content"] == {"field": "cases.project.project_id", "value": ["TCGA-GBM", "TCGA-LGG"]}
    terms = [
        {term["content"]["field"]: term["content"]["value"][0] for term in kind["content"]} for kind in kinds["content"]
    ]
    assert {term["data_type"]: term.get("analysis.workflow_type") for term in terms} == {
        "Gene Expression Quantification": "STAR - Counts",
        "Gene Level Copy Number": "ASCAT3",
        "Masked Somatic Mutation": "Aliquot Ensemble Somatic Variant Merging and Masking",
        "Slide Image": None,
    }


def test_a_real_cohort_is_planned_whole(root, tmp_path):
    plan = planned(root, tmp_path, "--config", "cohorts=[tcga-blca]")
    assert plan["lock_cohort"] == plan["fetch_files"] == plan["build_gdc_cohort"] == plan["write_report"] == 1
    assert plan["fetch_slides"] == plan["embed_slides"] == 8
    assert not {"simulate_mirror", "simulate_cohort", "build_cohort"} & plan.keys()


def test_the_ablation_of_the_paper_is_planned_on_a_real_cohort(root, tmp_path):
    """scGPT included: single cells of the Census, mixtures, embeddings, adapters, the six models, the baseline."""
    from pathgptomic.genomics.tiny_checkpoint import TINY, write_checkpoint

    words = ["--configfile", str(root / "config" / "ablation.yaml"), "--config", "cohorts=[tcga-blca]"]
    with pytest.raises(AssertionError, match="genomics.checkpoint resources/scgpt/whole-human lacks args.json"):
        planned(root, tmp_path, *words)
    write_checkpoint(tmp_path / "resources" / "scgpt" / "whole-human", genes=["TP53"], sizes=TINY, seed=1)
    plan = planned(root, tmp_path, *words)
    for rule in ("fetch_cells", "mix_cells", "embed_mixtures", "embed_bulk", "compare_mixtures"):
        assert plan[rule] == 1
    assert plan["adapt_bulk"] == 2
    models = yaml.safe_load((root / "config" / "ablation.yaml").read_text())["survival"]["models"]
    assert next(iter(models)) == "scgpt-smoothed-balanced"  # what the report is about
    read = sorted(model["modalities"][0] for model in models.values())
    assert read == ["genomics:mixup"] * 3 + ["genomics:raw"] * 2
    demo = yaml.safe_load((root / "config" / "demo.yaml").read_text())["survival"]["models"]
    assert models.keys() <= demo.keys()
    default = yaml.safe_load((root / "config" / "config.yaml").read_text())["survival"]
    assert default["models"]["concat"]["modalities"] == ["expression", "cnv", "mutations", "slides"]
    assert "pca-cox-expression" in default["baselines"]
    # the plan before anything is spent, with scGPT in it
    assert planned(root, tmp_path, *words, "--", "plan").keys() == {"lock_cohort", "plan_run", "plan"}


def test_batches_wait_for_room_where_slides_are_deleted(root, tmp_path):
    (tmp_path / "settings.yaml").write_text(
        yaml.safe_dump({"cohorts": ["tcga-kirc"], "slides": {"keep_slides": False}, "gdc": {"slides_ahead": 1}})
    )
    target = "results/tcga-kirc/slides/fetched2.tsv"
    plan = planned(root, tmp_path, "--configfile", str(tmp_path / "settings.yaml"), "--", target)
    # batch 2 is fetched when batch 1 has its features, which was fetched when batch 0 had its own
    assert plan["fetch_slides"] == 3
    assert plan["embed_slides"] == 2


@pytest.mark.parametrize("target", ["plan", "lock", "fetch"])
def test_targets_of_the_gdc(root, tmp_path, target):
    plan = planned(root, tmp_path, "--config", "cohorts=[tcga-kirc,tcga-blca]", "--", target)
    assert plan["lock_cohort"] == 2
    assert ("fetch_files" in plan) == (target == "fetch")
    assert "embed_slides" not in plan
