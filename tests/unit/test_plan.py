"""What is staged for a host without internet, and the configuration that finds it there."""

import copy
from pathlib import Path

import pytest
import yaml

from pathgptomic.config import ConfigError, compose_schemas, with_defaults
from pathgptomic.operations.plan import own_files, staged_configuration
from tests.conftest import ROOT

CONFIG = """
data_root: /data
gdc: {token_file: /home/me/token}
genomics:
  checkpoint: weights/scgpt
  policy: "genes:lists/genes.txt"
  adapters: {mixup: {method: mixup, reference: brain}}
singlecell:
  references:
    brain: {source: census, census: {version: "2025-01-30", tissue: [brain]}}
    own: {source: h5ad, path: cells/own.h5ad}
    made: {source: h5ad, path: resources/demo/cells.h5ad}
survival: {models: {paper: {modalities: [rois], rois: {weights: nets/resnet50.safetensors}}}}
"""
COHORT = """
title: Own tables
tables:
  clinical: {path: clinical.tsv, time: {column: t, unit: days}, event: {column: e, observed: [1]}}
  expression: {path: sub/tpm.tsv.gz, scale: linear}
  slides: {features: features}
slides: {mpp: mpp.tsv}
"""


@pytest.fixture
def run() -> tuple[dict, dict]:
    """A configuration and its cohorts, with defaults."""
    config, cohort = compose_schemas(ROOT / "config" / "schemas")
    cohorts = {"own": COHORT, "demo": "{title: Demo, simulate: {patients: 40}}"}
    complete = {name: with_defaults(yaml.safe_load(text), cohort) for name, text in cohorts.items()}
    return with_defaults(yaml.safe_load(CONFIG), config), complete


def test_every_named_file_has_a_place(run: tuple[dict, dict]):
    files = own_files(*run)
    assert files == {
        "data/clinical.tsv": "/data/clinical.tsv",
        "data/sub/tpm.tsv.gz": "/data/sub/tpm.tsv.gz",
        "data/features": "/data/features",
        "data/mpp.tsv": "/data/mpp.tsv",
        "data/cells/own.h5ad": "/data/cells/own.h5ad",
        "encoders/paper-resnet50.safetensors": "nets/resnet50.safetensors",
        "scgpt/args.json": "weights/scgpt/args.json",
        "scgpt/vocab.json": "weights/scgpt/vocab.json",
        "scgpt/best_model.pt": "weights/scgpt/best_model.pt",
        "genes.txt": "lists/genes.txt",
    }


def test_the_staged_configuration_leads_to_those_places(run: tuple[dict, dict]):
    before = copy.deepcopy(run[0])
    new = staged_configuration(run[0], folder="offline", weights="uni.bin", images=["images/cohort.sif"])
    assert run[0] == before
    assert (new["data_root"], new["cohort_folder"]) == ("offline/data", "offline/cohorts")
    assert new["gdc"]["mirror"] == "offline/gdc"
    assert new["gdc"]["token_file"] is None
    assert new["genomics"]["checkpoint"] == "offline/scgpt"
    assert new["genomics"]["policy"] == "genes:offline/genes.txt"
    assert new["slides"]["weights"] == "offline/encoders/uni.bin"
    assert new["containers"] == "offline/images"
    assert new["survival"]["models"]["paper"]["rois"]["weights"] == "offline/encoders/paper-resnet50.safetensors"
    brain = new["singlecell"]["references"]["brain"]
    assert brain["source"] == "h5ad"
    assert Path(new["data_root"], brain["path"]).resolve() == Path("offline/references/brain.h5ad").resolve()
    assert new["singlecell"]["references"]["own"] == before["singlecell"]["references"]["own"]


@pytest.mark.parametrize(
    ("path", "sentence"), [("/elsewhere/c.tsv", "an absolute path"), ("../c.tsv", "lies outside data_root")]
)
def test_what_another_host_would_not_find_is_refused(run: tuple[dict, dict], path: str, sentence: str):
    config, cohorts = run
    cohorts["own"]["tables"]["clinical"]["path"] = path
    with pytest.raises(ConfigError, match=sentence):
        own_files(config | {"data_root": "here"}, cohorts)
