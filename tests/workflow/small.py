"""Clones with small runs: one through every stage of the demo, one of tables and few models in half a minute."""

from pathlib import Path

from tests.workflow.test_workflow import copy_clone

CONFIG = """\
cohorts: [small]
slides: {batches: 2}
singlecell:
  references:
    cells: {source: h5ad, path: resources/small/cells.h5ad, mixtures: {train: 120, validation: 30, test: 30}}
genomics:
  checkpoint: tiny
  max_length: 100
  adapters:
    mixup: {method: mixup, reference: cells, epochs: 3}
survival:
  models:
    fused:
      title: Everything, balanced
      modalities: ["genomics:mixup", cnv, mutations, slides, clinical]
      balance: {strategy: path-gptomic}
      training: {epochs: 4}
    slides: {title: Slides, modalities: [slides], training: {epochs: 4}}
    late-fusion: {title: Late fusion, combine: [fused, slides]}
  baselines: [clinical-cox]
report: {bootstrap: 100, permutations: 2}
"""
COHORT = """\
title: A small simulated cohort
simulate: {patients: 36, genes: 300, sites: 3, slide_pixels: 1024}
source: gdc
gdc: {projects: [SIMU], mirror: resources/small/mirror}
covariates: {age: numeric, sex: nominal}
site: {barcode: [6, 7]}
splits: {scheme: kfold, folds: 2, inner_folds: 2}
audit: {missing_outcome: drop}
"""


def small_clone(folder: Path) -> Path:
    """Return a clone whose configuration is the small run."""
    clone = copy_clone(folder)
    (clone / "config" / "config.yaml").write_text(CONFIG)
    (clone / "config" / "cohorts" / "small.yaml").write_text(COHORT)
    return clone


LITTLE = """\
cohorts: [little]
survival:
  models:
    fused: {modalities: [expression, cnv, clinical], training: {epochs: 3}}
    slides: {modalities: [slides], training: {epochs: 3}}
  baselines: [clinical-cox]
report: {bootstrap: 100, permutations: 2}
"""


def little_clone(folder: Path) -> Path:
    """Return a clone whose configuration is the little run."""
    clone = copy_clone(folder)
    cohort = (clone / "config" / "cohorts" / "demo-tables.yaml").read_text()
    cohort = cohort.replace("demo-tables", "little").replace("patients: 240", "patients: 40, genes: 200")
    (clone / "config" / "cohorts" / "little.yaml").write_text(cohort)
    (clone / "config" / "config.yaml").write_text(LITTLE)
    return clone
