"""Slides and image features: whose they are, and what ends up in a bag."""

import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from pathgptomic.cohort.bags import Bags
from pathgptomic.cohort.files import table_files
from pathgptomic.cohort.images import slide_owners
from pathgptomic.slides.pack import pack_slides
from tests.unit.cohort.facility import Built, Facility

NO_RULE = {"replace": {}, "pattern": None, "characters": None}


@pytest.fixture
def facility(tmp_path: Path) -> Facility:
    facility = Facility(tmp_path, patients=40)
    facility.cohort["modalities"] = ["clinical", "slides"]
    facility.cohort["splits"] = {"scheme": "published", "inner_folds": 2}
    facility.cohort["audit"] = {"minimum_events_per_fold": 1, "event_polarity": "warn"}
    return facility


def write_slide(path: Path, tiles: np.ndarray, dataset: str = "features") -> None:
    path.parent.mkdir(exist_ok=True)
    with h5py.File(path, "w") as handle:
        handle[dataset] = tiles
        handle[dataset].attrs["encoder"] = "uni"


def pack(facility: Facility, built: Built) -> Bags:
    out, settings = facility.folder / "bags", facility.settings()
    files = table_files(facility.config, settings)
    files |= {name: str(built.folder / f"{name}.tsv") for name in ("patients", "slides", "splits")}
    pack_slides(files=files, settings=settings["tables"]["slides"], out=str(out))
    return Bags.load(out)


@pytest.mark.parametrize(
    ("slide", "owner"),
    [
        ("P1-DX1", "P1"),
        ("P1", "P1"),
        ("P10_a", "P10"),
        ("P1-A-DX1", "P1-A"),  # the longest id that fits
        ("P100-DX1", None),  # P10 ends within a number
        ("Q1-DX1", None),
    ],
)
def test_a_slide_belongs_to_the_patient_whose_id_it_begins_with(slide: str, owner: str | None):
    found = slide_owners([slide], NO_RULE, ["P1", "P10", "P1-A"], Path())[slide]
    assert found == owner or (owner is None and pd.isna(found))


def test_a_folder_of_features_becomes_one_bag_a_patient(facility: Facility):
    generator = np.random.default_rng(0)
    tiles = {}
    for number, patient in enumerate(facility.clinical.index[:36]):
        for slide in range(1 + number % 3):
            tiles[f"{patient}-01Z-00-DX{slide}"] = generator.normal(size=(3 + slide, 5)).astype(np.float16)
    for slide, rows in tiles.items():
        write_slide(facility.folder / "h5" / f"{slide}.h5", rows)
    write_slide(facility.folder / "h5" / "SOMEBODY.h5", np.zeros((2, 5), np.float16))
    facility.cohort["tables"]["slides"] = {"features": "h5"}
    built = facility.build()
    assert len(built.patients) == 36
    assert built.audit["slides"]["evidence"]["examples"] == ["SOMEBODY"]
    assert set(built.slides["slide_id"]) == set(tiles)
    assert Path(built.slides["path"].iloc[0]).is_file()
    bags = pack(facility, built)
    assert not bags.per_fold
    assert not bags.in_sample_train
    assert bags.rows.dtype == np.float16
    assert bags.source == f"features of {len(tiles)} slides, encoder uni"
    for patient in built.patients.index:
        expected = np.concatenate([tiles[slide] for slide in sorted(tiles) if slide.startswith(patient)])
        np.testing.assert_array_equal(bags.bag(3, patient), expected)


def test_features_in_the_layout_of_other_tools(facility: Facility):
    for patient in facility.clinical.index:
        write_slide(facility.folder / "h5" / f"{patient}.svs.h5", np.ones((1, 4, 3), np.float32), "feats")
    listed = pd.DataFrame({"case": facility.clinical.index, "image": facility.clinical.index + ".svs.svs"})
    listed.to_csv(facility.folder / "list.csv", index=False)
    facility.cohort["tables"]["slides"] = {
        "features": "h5",
        "dataset": "feats",
        "list": {"path": "list.csv", "patient": "case", "slide": "image"},
    }
    built = facility.build()
    assert len(built.patients) == 40
    bags = pack(facility, built)
    assert bags.rows.shape == (160, 3)
    write_slide(facility.folder / "h5" / f"{built.patients.index[1]}.svs.h5", np.ones((4, 2), np.float32), "feats")
    with pytest.raises(ValueError, match="has 2 features where the first slide has 3"):
        pack(facility, built)
    assert Bags.load(facility.folder / "bags").rows.shape == (160, 3)  # the old bags are still whole


def test_slides_by_a_pattern(facility: Facility):
    for number, patient in enumerate(facility.clinical.index):
        write_slide(facility.folder / "h5" / f"scan{number}_{patient}_HE.h5", np.ones((2, 3)))
    write_slide(facility.folder / "h5" / "calibration.h5", np.ones((2, 3)))
    facility.cohort["tables"]["slides"] = {"features": "h5", "id": {"pattern": "_(TCGA-[^_]+)_"}}
    built = facility.build()
    assert len(built.patients) == 40
    assert built.audit["slides"]["evidence"]["without a patient"] == 1


def test_whole_slide_images_only_need_to_be_there(facility: Facility):
    (facility.folder / "wsi").mkdir()
    for patient in facility.clinical.index[:-1]:
        (facility.folder / "wsi" / f"{patient}-DX1.SVS").touch()
    facility.cohort["tables"]["slides"] = {"images": "wsi"}
    built = facility.build()
    assert len(built.patients) == 39
    assert built.slides["path"].str.endswith(".SVS").all()


def instances(facility: Facility, folds: int = 4) -> pd.DataFrame:
    """Return a table of instances with the outputs of one network a fold."""
    generator = np.random.default_rng(1)
    rows = [
        (f"fold{fold}", patient, tile, generator.normal(), generator.normal())
        for fold in range(1, folds + 1)
        for number, patient in enumerate(facility.clinical.index)
        for tile in range(1 + number % 4)
    ]
    return pd.DataFrame(rows, columns=["cv", "case", "tile", "hazard", "grade"])


def by_fold(facility: Facility, table: pd.DataFrame) -> None:
    table.to_csv(facility.folder / "tiles.csv.gz", index=False)
    facility.cohort["tables"]["slides"] = {
        "table": "tiles.csv.gz",
        "patient": "case",
        "fold": "cv",
        "columns": {"keep": ["hazard", "grade"]},
        "in_sample_train": True,
    }


def test_a_table_by_fold_becomes_a_bag_for_each_fold_and_patient(facility: Facility):
    table = instances(facility).sample(frac=1, random_state=0)
    by_fold(facility, table)
    built = facility.build()
    bags = pack(facility, built)
    assert bags.per_fold
    assert bags.in_sample_train
    assert bags.features == ("hazard", "grade")
    for fold in range(1, 5):
        for patient in built.patients.index:
            rows = table[(table["cv"] == f"fold{fold}") & (table["case"] == patient)]
            np.testing.assert_allclose(bags.bag(fold, patient), rows[["hazard", "grade"]], rtol=1e-6)
    facts = json.loads((facility.folder / "bags" / "bags.json").read_text())
    assert (facts["bags"], facts["instances"]) == (160, len(table))


def test_missing_values_of_a_fold_get_its_training_mean(facility: Facility):
    table = instances(facility)
    lacking = table["case"] == facility.clinical.index[3]
    table.loc[lacking, "grade"] = np.nan
    by_fold(facility, table)
    built = facility.build()
    bags = pack(facility, built)
    patient = facility.clinical.index[3]
    for fold in range(1, 5):
        train = built.splits.query("fold == @fold and role == 'train'")["patient_id"]
        chosen = table[(table["cv"] == f"fold{fold}") & table["case"].isin(train)]
        np.testing.assert_allclose(bags.bag(fold, patient)[:, 1], chosen["grade"].mean(), rtol=1e-5)
        rows = table[(table["cv"] == f"fold{fold}") & lacking]
        np.testing.assert_allclose(bags.bag(fold, patient)[:, 0], rows["hazard"], rtol=1e-6)


def test_patients_without_instances_in_some_fold_have_no_slides(facility: Facility):
    table = instances(facility)
    lost = facility.clinical.index[5]
    by_fold(facility, table[~((table["case"] == lost) & (table["cv"] == "fold2"))])
    built = facility.build()
    assert lost not in built.patients.index
    assert "no slides" in built.flow["reason"].tolist()


def test_a_table_that_lacks_a_fold_of_the_splits_stops(facility: Facility):
    by_fold(facility, instances(facility, folds=3))
    built = facility.build()
    with pytest.raises(ValueError, match="in fold 4, which the splits use"):
        pack(facility, built)


def test_a_table_that_holds_in_every_fold(facility: Facility):
    instances(facility, folds=1).drop(columns="cv").to_parquet(facility.folder / "tiles.parquet")
    facility.cohort["tables"]["slides"] = {"table": "tiles.parquet", "patient": "case", "columns": {"drop": ["tile"]}}
    bags = pack(facility, facility.build())
    assert not bags.per_fold
    assert bags.features == ("hazard", "grade")
    assert len(bags.index) == 40
