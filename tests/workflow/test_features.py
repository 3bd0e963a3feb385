"""Image features made elsewhere, in the layout of CLAM and TRIDENT, for a cohort from the GDC."""

import shutil
from pathlib import Path

import pandas as pd

from tests.workflow.small import COHORT, small_clone
from tests.workflow.test_workflow import planned, snakemake

TARGET = "results/elsewhere/models/slides/predictions.tsv"


def test_they_stand_in_for_slides_that_are_then_never_fetched(small_run: Path, tmp_path: Path):
    clone = small_clone(tmp_path / "clone")
    shutil.copytree(small_run / "resources", clone / "resources", symlinks=True)
    shutil.copytree(small_run / "results" / "small" / "slides" / "features", clone / "resources" / "features_lite0")
    lost, *kept = sorted((clone / "resources" / "features_lite0").glob("*.h5"))
    lost.unlink()
    lines = COHORT.splitlines(keepends=True)
    cohort = "".join(line for line in lines if not line.startswith("simulate"))
    cohort += "tables: {slides: {features: resources/features_lite0}}\n"
    (clone / "config" / "cohorts" / "elsewhere.yaml").write_text(cohort)

    chosen = ["--cores", "2", "--config", "cohorts=[elsewhere]"]
    jobs = planned(snakemake("-n", *chosen, folder=clone))
    assert not {"fetch_slides", "embed_slides", "collect_slides", "draw_heatmaps"} & set(jobs)
    snakemake(*chosen, "--", TARGET, folder=clone)
    assert (clone / TARGET).stat().st_size
    bags = pd.read_csv(clone / "results/elsewhere/slides/bags.tsv", sep="\t")
    assert set(bags["patient_id"]) == {path.name[:12] for path in kept}
    # beside the one lost here, the one that does not state its resolution
    assert "2 slides have no features, such as " in (clone / "logs/elsewhere/pack_slides.log").read_text()
