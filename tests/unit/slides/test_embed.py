"""From a table of slides to verified features: resume, bad slides, deletion, the exit policy."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from pathgptomic.slides import embed
from pathgptomic.slides.choose import batch_of, left_out, read_overrides
from pathgptomic.slides.collect import collect_slides
from pathgptomic.slides.pack import pack_folder
from pathgptomic.slides.store import verify, write_features

SETTINGS = {
    "encoder": "efficientnet-lite0",
    "backend": "torch",
    "precision": "auto",
    "dtype": "float16",
    "tile": {"size": None, "stride": None, "mpp": None, "minimum_tissue": 0.5, "maximum_unreadable": 0.05},
    "tissue": {},
    "quality": {},
    "select": "diagnostic",
    "batches": 1,
    "batch_size": 16,
    "patience_minutes": 3,
    "keep_slides": True,
}


def run(folder: Path, settings=None, **options) -> pd.DataFrame:
    embed.embed_slides(
        **{
            "slides": str(folder / "slides.tsv"),
            "overrides": None,
            "settings": SETTINGS | (settings or {}),
            "weights": None,
            "batch": 0,
            "device": "cpu",
            "threads": 1,
            "folder": str(folder / "out"),
            "table_out": str(folder / "batch0.tsv"),
            **options,
        }
    )
    return pd.read_csv(folder / "batch0.tsv", sep="\t", index_col="slide_id")


@pytest.fixture(scope="module")
def work(slides, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """Five slides of three patients, one of them broken and one frozen, embedded once."""
    folder = tmp_path_factory.mktemp("embed")
    fetched = folder / "fetched"
    fetched.mkdir()
    names = {
        "TCGA-AA-0001-01Z-00-DX1": slides["jpeg-420"],
        "TCGA-AA-0001-01Z-00-DX2": slides["20x"],
        "TCGA-AA-0002-01Z-00-DX1": slides["generic"],
        "TCGA-AA-0003-01Z-00-DX1": None,
        "TCGA-AA-0003-01A-01-TS1": slides["20x"],
    }
    rows = []
    for name, source in names.items():
        path = fetched / f"{name}.svs"
        path.write_bytes(b"" if source is None else source.read_bytes())
        rows.append((name[:12], name, str(path)))
    pd.DataFrame(rows, columns=["patient_id", "slide_id", "path"]).to_csv(folder / "slides.tsv", sep="\t", index=False)
    return folder, run(folder)


def test_every_slide_has_a_row_and_good_ones_have_features(work):
    folder, table = work
    assert len(table) == 5
    assert table["status"].value_counts().to_dict() == {"ok": 3, "failed": 1, "left out": 1}
    assert "is empty" in table.loc["TCGA-AA-0003-01Z-00-DX1", "reason"]
    assert "frozen section (TS)" in table.loc["TCGA-AA-0003-01A-01-TS1", "reason"]
    for name, row in table[table["status"] == "ok"].iterrows():
        with h5py.File(row["features"]) as file:
            features, coords = file["features"][...], file["coords"][...]
            # what CLAM's and TRIDENT's readers look for
            assert {
                "patch_size",
                "patch_size_level0",
                "level0_magnification",
                "target_magnification",
                "overlap",
            } <= set(file["coords"].attrs)
            assert file["features"].chunks is None
            assert file.attrs["slide_mpp"] in (0.25, 0.5)
            assert file.attrs["filter"].startswith("bilinear")
            assert json.loads(file.attrs["versions"])["openslide-bin"]
        assert features.dtype == np.float16
        assert features.shape == (row["tiles"], 1280)
        assert np.isfinite(features).all()
        assert coords.dtype == np.int64
        assert (coords >= 0).all()
        assert features.std(axis=0).max() > 0.01, name
        assert Path(row["overlay"]).is_file()


def test_a_second_run_keeps_what_is_done_and_reads_nothing(work, monkeypatch: pytest.MonkeyPatch):
    folder, table = work
    slides = pd.read_csv(folder / "slides.tsv", sep="\t")
    slides[slides["slide_id"] != "TCGA-AA-0003-01Z-00-DX1"].to_csv(folder / "sound.tsv", sep="\t", index=False)
    monkeypatch.setattr(embed, "make_encoder", lambda **_: pytest.fail("nothing was to be done"))
    again = run(folder, slides=str(folder / "sound.tsv"))
    expected = table.drop("TCGA-AA-0003-01Z-00-DX1")
    pd.testing.assert_frame_equal(again, expected, check_dtype=False)


def test_what_features_depend_on_is_in_their_digest():
    job = embed.Job("a", "a.svs", None, "")
    changed = [
        {"tile": SETTINGS["tile"] | {"stride": 112}},
        {"quality": {"blur": 0.01}},
        {"tissue": {"factor": 1.0}},
        {"dtype": "float32"},
        {"encoder": "resnet50"},
    ]
    digests = {embed._digests([job], SETTINGS | {"weights": None} | change)["a"] for change in [{}, *changed]}
    digests.add(embed._digests([embed.Job("a", "a.svs", 0.3, "")], SETTINGS | {"weights": None})["a"])
    assert len(digests) == len(changed) + 2
    same = embed._digests([job], SETTINGS | {"weights": None, "batches": 7, "batch_size": 3, "keep_slides": False})
    assert same["a"] in digests


def test_only_fetched_slides_are_deleted_and_only_once_verified(work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    own, fetched = tmp_path / "own.svs", tmp_path / "fetched" / "f.svs"
    fetched.parent.mkdir()
    for path in (own, fetched):
        path.touch()
    (tmp_path / "fetched" / "link.svs").symlink_to(own)
    for path in (own, fetched, tmp_path / "fetched" / "link.svs"):
        embed._delete(path, tmp_path / "fetched")
    assert own.is_file()
    assert not fetched.exists()

    outcomes = {"ok": {"status": "ok"}, "bad": {"status": "failed", "reason": "broken"}}
    for name in outcomes:
        (tmp_path / "fetched" / f"{name}.svs").touch()
    rows = [("p", name, str(tmp_path / "fetched" / f"{name}.svs")) for name in outcomes]
    table = pd.DataFrame(rows, columns=["patient_id", "slide_id", "path"])
    table.to_csv(tmp_path / "slides.tsv", sep="\t", index=False)
    monkeypatch.setattr(embed, "_run", lambda *_: iter(outcomes.items()))
    run(tmp_path, {"keep_slides": False}, fetched=str(tmp_path / "fetched"))
    assert not (tmp_path / "fetched" / "ok.svs").exists()
    assert (tmp_path / "fetched" / "bad.svs").exists()


def collect(folder: Path, out: Path, maximum_lost: float) -> None:
    collect_slides(
        tables=[str(folder / "batch0.tsv")],
        maximum_lost=maximum_lost,
        table_out=str(out / "slides.tsv"),
        features_out=str(out / "features"),
        sheet_out=str(out / "sheet.jpg"),
        facts_out=str(out / "slides.json"),
    )


def test_collection_gives_features_a_sheet_and_counts_or_stops(work, tmp_path: Path):
    folder, _ = work
    run(folder)
    with pytest.raises(
        ValueError, match=r"1 of 4 slides could not be used and slides\.maximum_lost is 0\.1 .*is empty"
    ):
        collect(folder, tmp_path, 0.1)
    collect(folder, tmp_path, 0.5)
    assert len(list((tmp_path / "features").iterdir())) == 3
    assert (tmp_path / "sheet.jpg").stat().st_size > 1000
    facts = json.loads((tmp_path / "slides.json").read_text())
    assert facts["status"] == {"ok": 3, "left out": 1, "failed": 1}
    assert facts["lost"][0]["slide_id"] == "TCGA-AA-0003-01Z-00-DX1"
    # the slides of a patient become one bag
    patients = tmp_path / "patients.tsv"
    columns = "patient_id time_days event site stratum has_clinical has_expression has_cnv has_mutations has_slides"
    rows = [f"TCGA-AA-000{i} {100 * i} True A A True True True True True" for i in (1, 2)]
    patients.write_text("\n".join([columns, *rows]).replace(" ", "\t") + "\n")
    pack_folder(str(patients), str(folder / "slides.tsv"), str(tmp_path / "features"), "features", str(tmp_path))
    bags = pd.read_csv(tmp_path / "bags.tsv", sep="\t").set_index("patient_id")
    table = pd.read_csv(tmp_path / "slides.tsv", sep="\t")
    tiles = table.groupby("patient_id")["tiles"].sum()
    assert bags.loc["TCGA-AA-0001", "stop"] - bags.loc["TCGA-AA-0001", "start"] == tiles["TCGA-AA-0001"]


FACTS = {
    "slide_id": "a", "encoder": "x", "hash": "h", "tile": 224, "stride": 224, "side_level0": 448.0, "slide_mpp": 0.25,
    "mpp": 0.5, "level": 0, "width": 1000, "height": 1000, "slide_bytes": 3,
}  # fmt: skip


def test_a_file_of_features_is_verified(tmp_path: Path):
    path, slide = tmp_path / "a.h5", tmp_path / "a.svs"
    write_features(path, np.ones((3, 4), np.float16), np.zeros((3, 2)), FACTS)
    assert verify(path, "h") == ""
    assert verify(path, "other") == "made with other settings"
    slide.write_bytes(b"abc")
    assert verify(path, "h", slide) == ""
    slide.write_bytes(b"abcd")
    assert verify(path, "h", slide) == "made from another file"
    shutil.copy(path, tmp_path / "cut.h5")
    with open(tmp_path / "cut.h5", "r+b") as file:
        file.truncate(600)
    assert "does not read" in verify(tmp_path / "cut.h5", "h")
    assert "does not read" in verify(tmp_path / "absent.h5", "h")


def test_features_beyond_float16_are_refused(tmp_path: Path):
    with np.errstate(over="ignore"):
        features = np.full((1, 4), 1e6, np.float32).astype(np.float16)
    with pytest.raises(ValueError, match=r"do not fit float16; set slides\.dtype: float32"):
        write_features(tmp_path / "a.h5", features, np.zeros((1, 2)), FACTS)
    assert not list(tmp_path.iterdir())


def test_a_slide_stays_in_its_batch_whatever_the_others():
    names = [f"TCGA-AA-{i:04d}-01Z-00-DX1" for i in range(400)]
    batches = [batch_of(name, 8) for name in names]
    assert set(batches) == set(range(8))
    assert max(map(batches.count, range(8))) < 80
    assert batch_of("TCGA-06-0174-01Z-00-DX3", 8) == 7  # never to change: features would be sought elsewhere


@pytest.mark.parametrize(
    ("name", "select", "read"),
    [
        ("TCGA-06-0174-01Z-00-DX3.23b6e12e", "diagnostic", True),
        ("TCGA-06-0174-01A-01-BS1.6cd5", "diagnostic", False),
        ("TCGA-06-0174-01A-01-TSA.6cd5", "diagnostic", False),
        ("TCGA-06-0174-01A-01-TSA.6cd5", "all", True),
        ("case-17-TS1", "diagnostic", True),
    ],
)
def test_diagnostic_slides_are_told_by_their_barcode(name: str, select: str, read: bool):
    assert (left_out(name, select) == "") is read


def test_a_table_of_resolutions_is_checked(tmp_path: Path):
    path = tmp_path / "mpp.csv"
    path.write_text("slide_id,mpp\na,0.25\nb,0.5\n")
    assert read_overrides(path) == {"a": 0.25, "b": 0.5}
    assert read_overrides(None) == {}
    path.write_text("slide,mpp\na,0.25\n")
    with pytest.raises(ValueError, match="it needs slide_id and mpp"):
        read_overrides(path)
    path.write_text("slide_id,mpp\na,-1\n")
    with pytest.raises(ValueError, match="gives slide a the mpp"):
        read_overrides(path)
