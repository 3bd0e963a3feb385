"""What the checks of both stages say before any job starts."""

import copy

import pytest
import yaml

from pathgptomic.config import with_defaults
from pathgptomic.genomics import checks as genomics_checks
from pathgptomic.singlecell import checks as singlecell_checks


@pytest.fixture
def config(root, tmp_path) -> dict:
    """Return a complete configuration of both stages that nothing is wrong with."""
    (tmp_path / "cells.h5ad").touch()
    config = {
        "data_root": str(tmp_path),
        "singlecell": {"references": {"brain": {"source": "h5ad", "path": "cells.h5ad"}}},
        "genomics": {
            "checkpoint": "tiny",
            "adapters": {"frozen": {"method": "none"}, "mixup": {"method": "mixup", "reference": "brain"}},
        },
    }
    for stage in ("singlecell", "genomics"):
        schema = yaml.safe_load((root / "config" / "schemas" / f"{stage}.schema.yaml").read_text())["config"]
        config[stage] = with_defaults(config[stage], {"type": "object", **schema})
    return config


def _errors(config: dict, **changes) -> list[str]:
    """Return the errors after setting keys such as genomics__policy."""
    config = copy.deepcopy(config)
    for place, value in changes.items():
        *path, last = place.split("__")
        part = config
        for key in path:
            part = part[key]
        part[last] = value
    return singlecell_checks.errors(config, {}) + genomics_checks.errors(config, {})


def test_nothing_is_wrong(config):
    assert _errors(config) == []
    assert _errors(config, genomics__policy="random:3", genomics__backend="native") == []
    assert _errors(config, genomics__policy="random:1", genomics__backend="reference") == []


BRAIN = "singlecell__references__brain__"
CENSUS = {"version": "2025-01-30", "uri": "", "tissue": ["brain"], "disease": [], "assay": []}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({f"{BRAIN}path": ""}, "the source h5ad needs path"),
        ({f"{BRAIN}path": "nowhere.h5ad"}, "there is no file"),
        ({f"{BRAIN}source": "census", f"{BRAIN}census": CENSUS | {"version": ""}}, "needs either census.version"),
        ({f"{BRAIN}source": "census", f"{BRAIN}census": CENSUS | {"uri": "x"}}, "needs either census.version"),
        ({f"{BRAIN}source": "census", f"{BRAIN}census": CENSUS | {"tissue": []}}, "census.tissue is empty"),
        ({f"{BRAIN}file__donor": "", f"{BRAIN}file__pattern": "D[0-9]"}, "no regular expression with one group"),
        ({f"{BRAIN}held_out": {"validation": 0.4, "test": 0.4}}, "more than 0.6 of the cells"),
        ({f"{BRAIN}mixtures__cells": [500, 10]}, "give the fewest first"),
        ({"genomics__policy": "top"}, "genomics.policy is 'top'"),
        ({"genomics__policy": "random:0"}, "genomics.policy is 'random:0'"),
        ({"genomics__policy": "genes:none.txt"}, "names the gene list none.txt"),
        ({"genomics__backend": "reference"}, "set policy: random:1"),
        ({"genomics__checkpoint": "nowhere"}, "nowhere lacks args.json, vocab.json, best_model.pt"),
        ({"genomics__adapters__mixup__reference": ""}, "the method mixup needs a reference"),
        ({"genomics__adapters__mixup__reference": "kidney"}, "no reference 'kidney'"),
        ({f"{BRAIN}mixtures__forms": ["cells"]}, "trained on the form pairs, which reference 'brain' does not make"),
    ],
)
def test_every_error_is_one_sentence(config, changes, message):
    found = _errors(config, **changes)
    assert len(found) == 1
    assert message in found[0]
    assert found[0].startswith("config: ")


def test_a_census_reference_is_complete_with_version_and_tissue(config):
    assert _errors(config, **{f"{BRAIN}source": "census", f"{BRAIN}census": CENSUS}) == []


def test_a_cohort_of_z_scores_cannot_have_a_model_that_reads_an_adapter(config):
    cohort = {"source": "tables", "tables": {"expression": {"scale": "zscore"}}}
    linear = {"source": "tables", "tables": {"expression": {"scale": "log2"}}}
    plain = config | {"survival": {"models": {"snn": {"modalities": ["cnv"]}, "average": {"combine": ["snn"]}}}}
    assert genomics_checks.errors(plain, {"a": cohort}) == []
    reading = config | {"survival": {"models": {"smoothed": {"modalities": ["genomics:mixup"]}}}}
    assert genomics_checks.errors(reading, {"a": linear}) == []
    (sentence,) = genomics_checks.errors(reading, {"a": cohort})
    assert sentence.startswith("cohort a: its expression is z-scores")
    assert "'smoothed' reads an adapter's embedding" in sentence


def test_cohorts_cannot_take_the_names_of_our_folders(config):
    assert "results/adapters is taken" in genomics_checks.errors(config, {"adapters": {}})[0]
