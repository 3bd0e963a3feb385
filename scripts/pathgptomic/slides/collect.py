"""What became of all slides of a cohort: one table, one folder of features, one contact sheet, and the exit policy."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pathgptomic.files import atomic
from pathgptomic.slides.overlay import COLOURS, contact_sheet, write_picture
from pathgptomic.slides.quality import REASONS

log = logging.getLogger(__name__)

LOST = ("failed", "skipped")
SHEET = 30  # slides on the contact sheet: every one that was lost, and the first of the others


def collect_slides(
    *, tables: Sequence[str], maximum_lost: float, table_out: str, features_out: str, sheet_out: str, facts_out: str
) -> None:
    """Join the tables of the batches.

    Parameters
    ----------
    tables
        One table a batch.
    maximum_lost
        Largest share of the slides that may have failed or been skipped.
    table_out
        All slides, one row each.
    features_out
        Folder with the features of the slides that have any (hard links, which take no space).
    sheet_out
        Contact sheet of the QC pictures.
    facts_out
        Counts for the report.

    Raises
    ------
    ValueError
        If more slides were lost than allowed, or none has features.
    """
    table = pd.concat([pd.read_csv(path, sep="\t", dtype={"slide_id": str, "reason": str}) for path in tables])
    table = table.sort_values(["patient_id", "slide_id"]).reset_index(drop=True)
    asked = table[table["status"] != "left out"]
    lost = asked[asked["status"].isin(LOST)]
    for row in lost.itertuples():
        log.warning("%s %s: %s", row.slide_id, row.status, row.reason)
    _check(asked, lost, maximum_lost)
    with atomic(features_out) as folder:
        folder.mkdir()
        for path in map(Path, asked.loc[asked["status"] == "ok", "features"]):
            _link(path, folder / path.name)
    shown = pd.concat([lost, asked[~asked["status"].isin(LOST)]]).head(SHEET)
    write_picture(sheet_out, contact_sheet([(_caption(row), str(row.overlay)) for row in shown.itertuples()]))
    with atomic(table_out) as temporary:
        table.to_csv(temporary, sep="\t", index=False, lineterminator="\n")
    facts = {
        "slides": len(table),
        "status": table["status"].value_counts().to_dict(),
        "patients": int(asked.loc[asked["status"] == "ok", "patient_id"].nunique()),
        "tiles": int(asked["tiles"].sum()),
        "left_out_tiles": {name: int(asked[name].sum()) for name in REASONS},
        "mpp_source": asked["mpp_source"].value_counts().to_dict(),
        "reader": asked["reader"].value_counts().to_dict(),
        "lost": lost[["slide_id", "status", "reason"]].to_dict("records"),
        "colours": {name: "#{:02x}{:02x}{:02x}".format(*colour) for name, colour in COLOURS.items()},
    }
    with atomic(facts_out) as temporary:
        temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _check(asked: pd.DataFrame, lost: pd.DataFrame, maximum_lost: float) -> None:
    if len(lost) > maximum_lost * len(asked):
        first = lost.iloc[0]
        raise ValueError(
            f"{len(lost)} of {len(asked)} slides could not be used and slides.maximum_lost is {maximum_lost:g} (first: "
            f"{first['slide_id']}, {first['reason']}); mend them and run again with --forcerun embed_slides, which "
            "keeps slides that are done, or raise the limit"
        )
    if not (asked["status"] == "ok").any():
        raise ValueError(f"none of {len(asked)} slides gave a single tile; look at the QC pictures and slides.tissue")


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)


def _caption(row: object) -> str:
    name = row.slide_id.partition(".")[0][-24:]  # what comes after a barcode is a UUID
    return f"{name}   {int(row.tiles)} tiles" if row.status in ("ok", "empty") else f"{name}   {row.status}"
