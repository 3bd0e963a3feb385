"""What a run will take, said before it takes it; slides fetched by batches."""

from pathlib import Path

import pandas as pd
import pytest

from pathgptomic.cohort.gdc.fetch import fetch_slides
from pathgptomic.cohort.gdc.manifest import CLINICAL, COLUMNS, write_manifest
from pathgptomic.cohort.gdc.plan import estimate, plan_run, scgpt_sequences
from pathgptomic.cohort.tables import write_slides
from pathgptomic.config import compose_schemas, with_defaults
from pathgptomic.slides.choose import batch_of
from pathgptomic.slides.registry import card
from tests.unit.cohort.gdc_server import FakeGdc, serve


def facts(name: str) -> dict:
    known = card(name)
    names = ("name", "dimension", "parameters_m", "licence", "gated", "commercial", "tcga")
    return {key: getattr(known, key) for key in names}


def manifest(slides: int, slide_bytes: int, controlled: int = 0) -> pd.DataFrame:
    rows = [{"modality": CLINICAL, "uuid": f"case{i}", "size": 0} for i in range(slides)]
    rows += [{"modality": "slides", "uuid": f"slide{i}", "size": slide_bytes, "access": "open"} for i in range(slides)]
    rows += [{"modality": "mutations", "uuid": f"maf{i}", "size": 5000, "access": "open"} for i in range(slides)]
    table = pd.DataFrame(rows).reindex(columns=list(COLUMNS)).fillna("").assign(project="TCGA-X", data_release="R 45")
    table.loc[table.index[-controlled:] if controlled else [], "access"] = "controlled"
    return table


def plan(tmp_path: Path, encoder: str = "uni", controlled: int = 0, **changes) -> str:
    write_manifest(tmp_path / "m.tsv", manifest(400, 900_000_000, controlled))
    settings = {
        "encoded": ["tcga-x"],
        "batches": 8,
        "ahead": None,
        "device": "cuda",
        "scgpt": {},
        "others": [],
    } | changes
    plan_run(
        manifests={"tcga-x": str(tmp_path / "m.tsv")},
        encoder=facts(encoder),
        plan_out=str(tmp_path / "plan.txt"),
        **settings,
    )
    return (tmp_path / "plan.txt").read_text()


def test_plan_names_sizes_hours_and_terms(tmp_path):
    text = plan(tmp_path, others=["scGPT: weights from the authors."])
    row = next(line for line in text.splitlines() if "tcga-x" in line).split()
    assert row[1:7] == ["400", "800", "0.0", "400", "360.0", "0"]
    assert "about 3.96 million tiles with uni" in text
    assert "about 0.7 h on one data-centre GPU" in text
    assert "at most about 376 GB (all slides stay)" in text
    assert "CC-BY-NC-ND-4.0, access must be asked for on its hub, no commercial use" in text
    assert "all files are open access" in text
    assert "Also:       scGPT: weights from the authors." in text


def test_plan_leaves_out_slides_whose_features_were_made_elsewhere(tmp_path):
    text = plan(tmp_path, encoded=[])
    row = next(line for line in text.splitlines() if "tcga-x" in line).split()
    assert row[1:7] == ["400", "400", "0.0", "0", "0.0", "0"]
    assert "about 0.00 million tiles" in text


def test_plan_of_small_disk_and_no_gpu(tmp_path):
    text = plan(tmp_path, encoder="efficientnet-lite0", ahead=2, device="cpu", controlled=3)
    assert "no GPU" in text
    assert "2 of 8 batches of slides at a time" in text
    assert "3 files of TCGA-X are controlled" in text
    assert "Apache-2.0, no gate, commercial use allowed" in text


@pytest.mark.parametrize(
    ("policy", "bulk", "others"), [("partition", 16, 5 * 600 + 3 * 60), ("random:2", 2, 2 * 660), ("full", 1, 660)]
)
def test_plan_says_what_scgpt_takes(tmp_path, policy, bulk, others):
    scgpt = {"policy": policy, "profiles": {"pairs": 600, "cells": 60}}
    table = manifest(30, 1000)
    molecular = table["modality"] == "mutations"
    table.loc[molecular, ["modality", "case"]] = [["expression", f"case{i}"] for i in range(30)]
    assert scgpt_sequences({"c": table}, scgpt) == (690, 30 * bulk + others)
    # a cohort without expression: its mixtures are left
    text = plan(tmp_path, scgpt=scgpt, device="cpu")
    assert f"scGPT:      660 profiles as {others:,} sequences ({policy})" in text
    assert "core-hours without a GPU" in text
    assert "scGPT" not in plan(tmp_path)


def test_plan_without_the_gdc(tmp_path):
    plan_run(
        manifests={},
        encoded=[],
        encoder=facts("uni"),
        batches=8,
        ahead=None,
        device="auto",
        scgpt={},
        others=[],
        plan_out=str(tmp_path / "plan.txt"),
    )
    assert "nothing is fetched" in (tmp_path / "plan.txt").read_text()


def test_estimate_grows_with_slides_and_shrinks_with_batches():
    few, many = ({"c": manifest(n, 10**9)} for n in (10, 40))
    for key in ("tiles", "gpu_hours", "cpu_hours", "fetch_hours"):
        one, four = (estimate(t, facts("uni"), 8, None, "cuda")[key] for t in (few, many))
        assert four == pytest.approx(4 * one)
    all_stay = estimate(many, facts("uni"), 8, None, "cuda")["disk_bytes"]
    one_batch = estimate(many, facts("uni"), 8, 1, "cuda")["disk_bytes"]
    # five of forty slides, and the largest one more
    assert all_stay - one_batch == pytest.approx(34e9, rel=0.01)


def test_a_batch_of_slides_of_the_cohort_is_fetched(tmp_path, root):
    access = with_defaults({}, compose_schemas(root / "config" / "schemas")[0]["properties"]["gdc"])
    gdc = FakeGdc()
    files = [gdc.add(f"TCGA-AA-{i:04d}-01Z-00-DX1.X.svs", bytes([i]) * 100) for i in range(12)]
    names = ("uuid", "file_name", "md5", "size", "access")
    rows = [
        dict(zip(names, (f.uuid, f.name, f.md5, f.size, f.access), strict=True)) | {"modality": "slides"} for f in files
    ]
    write_manifest(tmp_path / "manifest.tsv", pd.DataFrame(rows).reindex(columns=list(COLUMNS)).fillna(""))
    # the last patient has left the cohort
    ids = [f.name.removesuffix(".svs") for f in files[:-1]]
    paths = [str(f.place(tmp_path / "gdc")) for f in files[:-1]]
    write_slides(tmp_path / "slides.tsv", pd.DataFrame({"patient_id": ids, "slide_id": ids, "path": paths}))
    found = []
    with serve(gdc):
        for batch in range(3):
            fetch_slides(
                manifest=str(tmp_path / "manifest.tsv"),
                slides=str(tmp_path / "slides.tsv"),
                in_batch=lambda slide_id, batch=batch: batch_of(slide_id, 3) == batch,
                folder=str(tmp_path / "gdc"),
                mirror=None,
                access=access | {"base_url": gdc.url},
                fetched_out=str(tmp_path / f"fetched{batch}.tsv"),
            )
            found.append(set(pd.read_csv(tmp_path / f"fetched{batch}.tsv", sep="\t")["path"]))
    assert set().union(*found) == set(paths)
    assert sum(map(len, found)) == len(paths)
    assert all(Path(path).is_file() for path in paths)
    assert len(gdc.log) == len(paths)
