"""Pack image features, from a folder of HDF5 files or from a table, into bags that training maps into memory."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from tqdm import tqdm

from pathgptomic.cohort.bags import EVERY_FOLD, write_bags
from pathgptomic.cohort.features import feature_columns
from pathgptomic.cohort.headers import column_names
from pathgptomic.cohort.published import fold_numbers
from pathgptomic.cohort.readers import patient_ids, read_matrix, read_text
from pathgptomic.cohort.tables import read_patients, read_slides, read_splits

logger = logging.getLogger(__name__)

Bag = tuple[int, str, np.ndarray]


def pack_slides(*, files: Mapping[str, str], settings: Mapping[str, Any], out: str) -> None:
    """Pack the image features of a cohort.

    Parameters
    ----------
    files
        `patients` and `slides` of the cohort, `features` (a folder) or `table`, and `splits` where features differ
        between folds.
    settings
        `tables.slides` of the cohort file.
    out
        Folder for ``bags.npy``, ``bags.tsv`` and ``bags.json``.
    """
    if "features" in files:
        pack_folder(files["patients"], files["slides"], files["features"], settings["dataset"], out)
    else:
        pack_table(files["patients"], files.get("splits"), files["table"], settings, out)


def pack_folder(patients: str, slides: str, features: str, dataset: str, out: str) -> None:
    """Pack one HDF5 file a slide: the slides of a patient become one bag, valid in every fold.

    Parameters
    ----------
    patients, slides
        ``patients.tsv`` and ``slides.tsv`` of the cohort.
    features
        Folder of ``<slide_id>.h5`` files.
    dataset
        Name of the data set [tiles, features] in each file ([1, tiles, features] is taken too).
    out
        Folder for the bags.

    Raises
    ------
    ValueError
        If no slide of the cohort has a file, or two files differ in their number of features.
    """
    cohort = read_patients(patients)
    table = read_slides(slides)
    table = table[table["patient_id"].isin(cohort.index)]
    files = {path.stem: path for path in Path(features).iterdir() if path.suffix in (".h5", ".hdf5")}
    found = table["slide_id"].isin(files)
    if not found.any():
        raise ValueError(f"{features} holds no file of the {len(table)} slides in {slides}; correct the folder.")
    if not found.all():
        lost = table.loc[~found, "slide_id"]
        logger.warning("%s: %d slides have no features, such as %s", features, len(lost), lost.iloc[0])
    table = table[found]
    first = files[table["slide_id"].iloc[0]]
    tiles, encoder = read_tiles(first, dataset)
    write_bags(
        out,
        _folder_bags(table, files, dataset, tiles.shape[1]),
        features=[f"f{number}" for number in range(1, tiles.shape[1] + 1)],
        source=f"features of {len(table)} slides, encoder {encoder}",
        in_sample_train=False,
        dtype=np.float16 if tiles.dtype == np.float16 else np.float32,
    )


def pack_table(patients: str, splits: str | None, table: str, settings: Mapping[str, Any], out: str) -> None:
    """Pack a table with one row an instance.

    Parameters
    ----------
    patients, splits
        ``patients.tsv`` and, where features differ between folds, ``splits.tsv`` of the cohort.
    table
        csv, tsv or parquet.
    settings
        `tables.slides` of the cohort file: with `fold`, every fold has bags of its own.
    out
        Folder for the bags.

    Raises
    ------
    ValueError
        If the table lacks a fold of the splits, or a patient in one of them.
    """
    cohort = read_patients(patients)
    names = column_names(table, settings["separator"], settings["comment"])
    spare = (settings["patient"], *([settings["fold"]] if settings["fold"] else []))
    chosen = feature_columns(table, names, settings, spare)
    read = read_matrix(table, settings, settings["patient"], list(chosen))
    ids, instances = np.asarray(patient_ids(read.index, settings["id"], table)), read.to_numpy(np.float32, copy=True)
    if settings["fold"]:
        folds = fold_numbers(read_text(table, settings, [settings["fold"]])[settings["fold"]]).to_numpy()
        roles = read_splits(splits)
        roles = roles[roles["patient_id"].isin(cohort.index[cohort["has_slides"]])]
        _require_bags(table, roles[["fold", "patient_id"]], pd.DataFrame({"fold": folds, "patient_id": ids}))
        _fill(table, instances, folds, ids, roles[roles["role"] == "train"])
    else:
        folds = np.full(len(instances), EVERY_FOLD)
    index = write_bags(
        out,
        _table_bags(instances, folds, ids, cohort.index),
        features=list(chosen.values()),
        source=f"table {Path(table).name}",
        in_sample_train=settings["in_sample_train"],
    )
    logger.info("%s: %d bags of %d patients", table, len(index), index["patient_id"].nunique())


def read_tiles(path: Path, dataset: str) -> tuple[np.ndarray, str]:
    """Read the features of one slide, [tiles, features], and the name of their encoder."""
    with h5py.File(path, "r") as handle:
        if dataset not in handle:
            raise ValueError(f"{path} has no data set {dataset!r}; it has {', '.join(handle)}.")
        tiles = handle[dataset][...]
        encoder = handle[dataset].attrs.get("encoder", handle.attrs.get("encoder", "not recorded"))
    if tiles.ndim == 3 and tiles.shape[0] == 1:
        tiles = tiles[0]
    if tiles.ndim != 2:
        raise ValueError(f"{path}: {dataset} has shape {tiles.shape}; it must be tiles x features.")
    return tiles, encoder.decode() if isinstance(encoder, bytes) else str(encoder)


def _folder_bags(table: pd.DataFrame, files: Mapping[str, Path], dataset: str, width: int) -> Iterator[Bag]:
    """Yield one bag a patient, its slides in the order of their ids, one patient in memory at a time."""
    for patient, slides in tqdm(table.groupby("patient_id")["slide_id"], desc="packing", unit="patient"):
        parts = []
        for slide in sorted(slides):
            tiles, _ = read_tiles(files[slide], dataset)
            if tiles.shape[1] != width:
                raise ValueError(
                    f"{files[slide]} has {tiles.shape[1]} features where the first slide has {width}; "
                    "make all features with one encoder."
                )
            parts.append(tiles)
        bag = np.concatenate(parts)
        if len(bag):
            yield EVERY_FOLD, patient, bag
        else:
            logger.warning("patient %s has slides without a single tile and gets no bag", patient)


def _table_bags(instances: np.ndarray, folds: np.ndarray, ids: np.ndarray, cohort: pd.Index) -> Iterator[Bag]:
    """Yield one bag for each fold and patient of the cohort, rows in the order of the table."""
    rows = pd.DataFrame({"fold": folds, "patient_id": ids})
    groups = rows[rows["patient_id"].isin(cohort)].groupby(["fold", "patient_id"]).indices
    positions = rows.index[rows["patient_id"].isin(cohort)].to_numpy()
    for fold, patient in tqdm(sorted(groups), desc="packing", unit="bag"):
        yield int(fold), patient, instances[positions[groups[fold, patient]]]


def _fill(table: str, instances: np.ndarray, folds: np.ndarray, ids: np.ndarray, training: pd.DataFrame) -> None:
    """Fill missing values of a fold, in place, with the mean over the instances of its training patients."""
    missing = np.isnan(instances)
    if not missing.any():
        return
    logger.warning(
        "%s: %d of %d instances lack a feature and get the mean of their fold's training patients",
        table,
        missing.any(axis=1).sum(),
        len(instances),
    )
    for fold, patients in training.groupby("fold")["patient_id"]:
        of_fold = folds == fold
        mean = np.nanmean(instances[of_fold & pd.Index(ids).isin(patients)], axis=0, dtype=np.float64)
        instances[of_fold] = np.where(missing[of_fold], mean, instances[of_fold])


def _require_bags(table: str, needed: pd.DataFrame, given: pd.DataFrame) -> None:
    """Raise unless every patient with image data has instances in each fold that the patient belongs to."""
    missing = needed.merge(given.drop_duplicates(), how="left", indicator=True)
    missing = missing[missing["_merge"] == "left_only"]
    if len(missing):
        row = missing.iloc[0]
        raise ValueError(
            f"{table} has no instance of patient {row['patient_id']} in fold {row['fold']}, which the splits use "
            f"({len(missing)} such cases); give features for every fold of the published splits."
        )
