"""Regions of interest: pictures by patient, regions drawn from slides; what cannot be used is a row with a reason."""

import logging
from pathlib import Path

import numpy as np
import openslide
import pandas as pd
import pytest
import yaml
from PIL import Image

from pathgptomic.cohort import tables
from pathgptomic.config import with_defaults
from pathgptomic.slides.rois import COLUMNS, crop_rois
from pathgptomic.slides.synthetic import write_slide

SIZE = 128


@pytest.fixture(scope="module")
def section(root: Path) -> dict:
    """Return the slides section of a configuration with small regions."""
    schema = yaml.safe_load((root / "config" / "schemas" / "slides.schema.yaml").read_text())["config"]
    return with_defaults({"rois": {"size": SIZE, "number": 4}, "tissue": {"specks_um2": 1000}}, schema)


def write_cohort(folder: Path, patients: list[str], slides: list[tuple[str, str, str]] = ()) -> dict[str, str]:
    """Write the tables of a cohort: its patients, and (patient, slide, path) of its slides."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame({"time_days": 100.0, "event": True, "site": "A", "stratum": ""}, pd.Index(patients))
    table[[f"has_{name}" for name in ("clinical", "expression", "cnv", "mutations", "slides")]] = True
    tables.write_patients(folder / "patients.tsv", table.rename_axis("patient_id"))
    frame = pd.DataFrame(list(slides), columns=["patient_id", "slide_id", "path"])
    tables.write_slides(folder / "slides.tsv", frame)
    return {"patients": str(folder / "patients.tsv"), "slides": str(folder / "slides.tsv")}


def cut(cohort: dict[str, str], out: Path, section: dict, **others) -> tuple[np.ndarray, pd.DataFrame]:
    """Run the step and return what it wrote."""
    given = {"pictures": None, "overrides": None, "seed": 17, "threads": 1, **others}
    paths = {"pictures_out": str(out / "rois.npy"), "table_out": str(out / "rois.tsv"), "folder": str(out / "rois")}
    out.mkdir(exist_ok=True)
    crop_rois(**cohort, settings=section, **paths, **given)
    table = pd.read_csv(paths["table_out"], sep="\t", keep_default_na=False, na_values={"row": [""]})
    assert list(table.columns) == list(COLUMNS)
    return np.load(paths["pictures_out"], mmap_mode="r"), table


def picture(side: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*side[::-1], 3), np.uint8)


def test_given_pictures_are_cut_to_their_middle_and_faults_are_rows(tmp_path: Path, section: dict, caplog):
    folder = tmp_path / "pictures"
    folder.mkdir()
    good = {"TCGA-06-0174-01Z-00-DX3_1.png": (SIZE, SIZE), "TCGA-06-0174-01Z-00-DX3_2.tif": (SIZE + 11, SIZE + 40)}
    for seed, (name, side) in enumerate(good.items()):
        Image.fromarray(picture(side, seed)).save(folder / name)
    Image.fromarray(picture((SIZE, SIZE))).convert("L").save(folder / "P1.png")  # grey, and the id is all of the name
    Image.fromarray(picture((SIZE, SIZE))).save(folder / "P10_1.png")  # P10 is not P1
    Image.fromarray(picture((SIZE - 1, 400))).save(folder / "P1_small.png")
    whole = (folder / "P1.png").read_bytes()
    (folder / "P1_cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "P1_empty.png").touch()
    (folder / "P1_text.tiff").write_text("no picture")
    (folder / "P1_flipped.png").write_bytes(whole[:60] + bytes(40) + whole[100:])
    (folder / "notes.txt").write_text("no picture either, and no ending of one")

    cohort = write_cohort(tmp_path / "cohort", ["TCGA-06-0174", "P1", "P2"])
    with caplog.at_level(logging.WARNING):
        rows, table = cut(cohort, tmp_path / "out", section, pictures=str(folder))
    table = table.set_index("name")
    assert rows.shape == (3, SIZE, SIZE, 3)
    assert rows.dtype == np.uint8
    assert sorted(table["row"].dropna()) == [0, 1, 2]
    assert table["patient_id"].to_dict() == {
        "TCGA-06-0174-01Z-00-DX3_1": "TCGA-06-0174", "TCGA-06-0174-01Z-00-DX3_2": "TCGA-06-0174", "P1": "P1",
        "P10_1": "", "P1_small": "P1", "P1_cut": "P1", "P1_empty": "P1", "P1_text": "P1", "P1_flipped": "P1",
    }  # fmt: skip
    second = picture((SIZE + 11, SIZE + 40), 1)[20 : 20 + SIZE, 5 : 5 + SIZE]
    np.testing.assert_array_equal(rows[int(table.loc["TCGA-06-0174-01Z-00-DX3_2", "row"])], second)
    grey = rows[int(table.loc["P1", "row"])]
    assert (grey == grey[..., :1]).all()
    lost = table[table["row"].isna()]["reason"]
    assert (lost != "").all()
    assert (table.loc[table["row"].notna(), "reason"] == "").all()
    assert lost["P10_1"] == "its name begins with no patient of the cohort"
    assert lost["P1_small"] == "it has 127 x 400 pixels, fewer than slides.rois.size 128"
    for name in ("P1_cut", "P1_empty", "P1_text", "P1_flipped"):
        assert lost[name].startswith("it cannot be read: ")
        assert f"{name}: it cannot be read" in caplog.text


def test_without_a_single_region_nothing_is_written(tmp_path: Path, section: dict):
    (tmp_path / "pictures").mkdir()
    Image.fromarray(picture((SIZE, SIZE))).save(tmp_path / "pictures" / "other_1.png")
    cohort = write_cohort(tmp_path / "cohort", ["P1"])
    with pytest.raises(ValueError, match="there is no region for any patient in .*pictures"):
        cut(cohort, tmp_path / "out", section, pictures=str(tmp_path / "pictures"))
    assert list((tmp_path / "out").iterdir()) == []


def test_real_regions_are_taken_as_they_are(tmp_path: Path, section: dict, shared: Path):
    folder = shared / "data" / "rois"
    cohort = write_cohort(tmp_path / "cohort", ["TCGA-06-0174", "TCGA-26-1442", "TCGA-HT-7470"])
    large = {**section, "rois": {**section["rois"], "size": 1024}}
    rows, table = cut(cohort, tmp_path / "out", large, pictures=str(folder))
    assert rows.shape == (3, 1024, 1024, 3)
    assert list(table["patient_id"]) == ["TCGA-06-0174", "TCGA-26-1442", "TCGA-HT-7470"]
    for path, row in zip(sorted(folder.glob("*.png")), table["row"], strict=True):
        with Image.open(path) as original:
            np.testing.assert_array_equal(rows[int(row)], np.asarray(original.convert("RGB")))


@pytest.fixture(scope="module")
def slide_cohort(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return a cohort of slides: 20x and 40x, one without resolution, an empty one, a broken one, a frozen section."""
    folder = tmp_path_factory.mktemp("slides")
    names = {"TCGA-AA-0001-01Z-00-DX1": {"mpp": 0.5}, "TCGA-AA-0001-01Z-00-DX2": {"mpp": 0.25, "width": 2560}}
    names |= {"TCGA-AA-0002-01Z-00-DX1": {"mpp": 0.5, "state_mpp": False, "state_power": False}}
    names |= {"TCGA-AA-0003-01Z-00-DX1": {"mpp": 0.5, "tissue": 0.0, "pen": False}}
    for seed, (name, options) in enumerate(names.items()):
        options = {"width": 1408, "height": 1408, "levels": (4,), "seed": seed, "pen": False, **options}
        write_slide(folder / f"{name}.svs", **options)
    (folder / "TCGA-AA-0004-01Z-00-DX1.svs").write_bytes(b"II*\0 not a slide")
    (folder / "TCGA-AA-0004-01A-01-TS1.svs").symlink_to("TCGA-AA-0001-01Z-00-DX1.svs")
    (folder / "TCGA-ZZ-0009-01Z-00-DX1.svs").symlink_to("TCGA-AA-0001-01Z-00-DX1.svs")
    slides = [(path.stem[:12], path.stem, str(path)) for path in sorted(folder.glob("*.svs"))]
    return write_cohort(folder, [f"TCGA-AA-000{i}" for i in range(1, 5)], slides)


@pytest.fixture(scope="module")
def regions(slide_cohort, section, tmp_path_factory) -> tuple[np.ndarray, pd.DataFrame]:
    """Return the regions drawn from that cohort."""
    return cut(slide_cohort, tmp_path_factory.mktemp("drawn"), section)


def test_regions_are_drawn_from_tissue_without_overlap_at_the_mpp_asked_for(slide_cohort, section, regions):
    rows, table = regions
    assert len(rows) == table["row"].notna().sum()
    found = table[table["row"].notna()]
    assert found["name"].value_counts().to_dict() == {"TCGA-AA-0001-01Z-00-DX1": 4, "TCGA-AA-0001-01Z-00-DX2": 4}
    paths = tables.read_slides(slide_cohort["slides"]).set_index("slide_id")["path"]
    for name, own in found.groupby("name"):
        with openslide.OpenSlide(paths[name]) as slide:
            side = round(SIZE * section["rois"]["mpp"] / (0.5 if name.endswith("DX1") else 0.25))  # level-0 pixels
            places = own[["left", "top"]].to_numpy()
            apart = np.abs(places[:, None] - places[None]).max(axis=2)
            assert (apart[~np.eye(len(places), dtype=bool)] >= side).all()
            for row, (left, top) in zip(own["row"], places, strict=True):
                direct = np.asarray(slide.read_region((int(left), int(top)), 0, (side, side)).convert("RGB"))
                if side == SIZE:
                    assert np.abs(rows[int(row)].astype(int) - direct).mean() < 1
                else:  # twice the resolution: halved
                    small = direct.reshape(SIZE, 2, SIZE, 2, 3).mean(axis=(1, 3))
                    assert np.abs(rows[int(row)] - small).mean() < 6
                assert (np.ptp(rows[int(row)], axis=2) > 15).mean() > 0.4  # tissue is coloured, glass is not


def test_slides_that_give_no_region_say_why(regions):
    _, table = regions
    lost = table[table["row"].isna()].set_index("name")
    assert list(lost.index) == [f"TCGA-AA-000{i}-01Z-00-DX1" for i in (2, 3, 4)]
    assert list(lost["patient_id"]) == [f"TCGA-AA-000{i}" for i in (2, 3, 4)]
    assert "resolution" in lost["reason"].iloc[0] or "mpp" in lost["reason"].iloc[0]
    assert lost["reason"].iloc[1] == "it has no 128 pixels of sound tissue at 0.5 mpp"
    assert lost["reason"].iloc[2]


def test_the_draw_depends_on_the_seed_and_the_slide_alone(slide_cohort, section, regions, tmp_path: Path):
    rows, table = regions
    one = tables.read_slides(slide_cohort["slides"]).query("slide_id == 'TCGA-AA-0001-01Z-00-DX2'")
    alone = write_cohort(tmp_path / "alone", ["TCGA-AA-0001"], list(one.itertuples(index=False, name=None)))
    again, places = cut(alone, tmp_path / "again", section)
    mine = table[table["name"] == "TCGA-AA-0001-01Z-00-DX2"]
    np.testing.assert_array_equal(again, rows[mine["row"].astype(int)])
    np.testing.assert_array_equal(places[["left", "top"]], mine[["left", "top"]])
    _, other = cut(alone, tmp_path / "other", section, seed=18)
    assert not np.array_equal(other[["left", "top"]], mine[["left", "top"]])


def test_a_table_of_resolutions_gives_a_slide_its_regions(slide_cohort, section, tmp_path: Path):
    one = tables.read_slides(slide_cohort["slides"]).query("slide_id == 'TCGA-AA-0002-01Z-00-DX1'")
    alone = write_cohort(tmp_path / "alone", ["TCGA-AA-0002"], list(one.itertuples(index=False, name=None)))
    (tmp_path / "mpp.tsv").write_text("slide_id\tmpp\nTCGA-AA-0002-01Z-00-DX1\t0.5\n")
    rows, table = cut(alone, tmp_path / "out", section, overrides=str(tmp_path / "mpp.tsv"))
    assert len(rows) == len(table) == 4
