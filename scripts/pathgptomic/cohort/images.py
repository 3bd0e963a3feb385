"""Which slides belong to which patient, and who has image data at all: folders of files, or a table of instances."""

import logging
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pathgptomic.cohort.readers import patient_ids, read_text
from pathgptomic.cohort.source import Finding
from pathgptomic.cohort.tables import no_slides

logger = logging.getLogger(__name__)

FEATURE_SUFFIXES = (".h5", ".hdf5")
IMAGE_SUFFIXES = (".svs", ".tif", ".tiff", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif", ".svslide", ".dcm")


def read_images(
    files: Mapping[str, str], dialect: Mapping[str, Any], patients: Sequence[str]
) -> tuple[pd.DataFrame, frozenset[str], list[Finding]]:
    """Read who has image data.

    Parameters
    ----------
    files
        Paths by name: `features`, `images` (folders) or `table`, and `list` where the cohort file has one.
    dialect
        `tables.slides` of the cohort file.
    patients
        Ids of the clinical table, to tell whose slide a file is.

    Returns
    -------
    slides : DataFrame
        `patient_id`, `slide_id`, `path`: slides that have a file, or all listed ones where features come as a table.
    with_slides : frozenset of str
        Patients with image data; in a table that differs between folds, those with instances in every fold.
    findings
        Slides without a patient or without a file.
    """
    listed = slide_list(files["list"], dialect["list"]) if dialect["list"] else None
    if dialect["table"]:
        slides = listed.assign(path="") if listed is not None else no_slides()
        return slides, patients_in_table(files["table"], dialect), []
    folder = Path(files["features"] if dialect["features"] else files["images"])
    found = slide_files(folder, FEATURE_SUFFIXES if dialect["features"] else IMAGE_SUFFIXES)
    if listed is None:
        owner = slide_owners(list(found), dialect["id"], patients, folder)
    else:
        owner = listed.drop_duplicates("slide_id").set_index("slide_id")["patient_id"].reindex(list(found))
    slides = pd.DataFrame({"patient_id": owner.to_numpy(), "slide_id": list(found), "path": list(found.values())})
    lost = slides["patient_id"].isna()
    slides, unowned = slides[~lost].reset_index(drop=True), slides.loc[lost, "slide_id"]
    without = [] if listed is None else sorted(set(listed["slide_id"]) - set(found))
    evidence = {"slides": len(slides), "without a patient": len(unowned), "without a file": len(without)}
    detail = f"{folder}: {len(slides)} slides belong to {slides['patient_id'].nunique()} patients"
    if unowned.empty and not without:
        return slides, frozenset(slides["patient_id"]), [Finding("slides", "pass", f"{detail}.", evidence)]
    detail += f"; {len(unowned)} files have no patient and {len(without)} listed slides have no file"
    evidence["examples"] = [*unowned[:5], *without[:5]]
    return slides, frozenset(slides["patient_id"]), [Finding("slides", "warn", f"{detail}.", evidence)]


def slide_files(folder: Path, suffixes: Sequence[str]) -> dict[str, str]:
    """Return the files of a folder by slide id (the name without its ending), in the order of ids.

    Raises
    ------
    ValueError
        If the folder holds no such file, or two files of one slide.
    """
    files: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in suffixes and not path.name.startswith("."):
            if path.stem in files:
                raise ValueError(f"{folder} holds slide {path.stem} twice; keep one of its files.")
            files[path.stem] = str(path)
    if not files:
        raise ValueError(f"{folder} holds no file that ends in {', '.join(suffixes)}.")
    return files


def slide_owners(slides: Sequence[str], rule: Mapping[str, Any], patients: Sequence[str], folder: Path) -> pd.Series:
    """Return the patient of each slide by its name, NaN where there is none.

    With an `id` rule, the patient that it makes of the name; else the patient whose id the name begins with, where the
    id ends there (P10-a is not P1's), the longest where several fit.
    """
    if rule["pattern"] or rule["characters"] or rule["replace"]:
        names = pd.Series(list(slides), dtype=object)
        if rule["pattern"]:  # a file of another kind among the slides is reported, not fatal
            names = names.where(names.str.extract(rule["pattern"], expand=False).notna())
        return pd.Series(patient_ids(names, rule, folder), index=list(slides))
    known = frozenset(patients)
    owners = [owner_by_name(slide, known) or np.nan for slide in slides]
    return pd.Series(owners, index=list(slides), dtype=object)


def owner_by_name(name: str, patients: Set[str]) -> str:
    """Return the patient whose id a file's name begins with and ends there, the longest where several fit, or ""."""
    ends = [end for end in range(len(name), 0, -1) if end == len(name) or not name[end].isalnum()]
    return next((name[:end] for end in ends if name[:end] in patients), "")


def slide_list(path: str | Path, dialect: Mapping[str, Any]) -> pd.DataFrame:
    """Read a table of slides: `patient_id` and `slide_id` (without the ending of an image or feature file)."""
    table = read_text(path, dialect, [dialect["patient"], dialect["slide"]]).dropna()
    endings = "|".join(suffix[1:] for suffix in (*FEATURE_SUFFIXES, *IMAGE_SUFFIXES))
    slides = table[dialect["slide"]].str.replace(rf"\.({endings})$", "", regex=True)
    owners = patient_ids(table[dialect["patient"]], dialect["id"], path)
    return pd.DataFrame({"patient_id": owners, "slide_id": slides.to_numpy()}).drop_duplicates(ignore_index=True)


def patients_in_table(path: str | Path, dialect: Mapping[str, Any]) -> frozenset[str]:
    """Return the patients with instances in a table, in every one of its folds where it differs between folds."""
    fold = dialect["fold"]
    table = read_text(path, dialect, [dialect["patient"], *([fold] if fold else [])])
    table.index = patient_ids(table[dialect["patient"]], dialect["id"], path)
    if fold is None:
        return frozenset(table.index.dropna())
    folds = table.groupby(level=0)[fold].nunique()
    complete = folds.index[folds == table[fold].nunique()]
    if len(complete) < len(folds):
        logger.warning(
            "%s: %d patients lack instances in some folds and count as without", path, len(folds) - len(complete)
        )
    return frozenset(complete)
