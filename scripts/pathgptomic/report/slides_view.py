"""What was read of the slides and why the rest was not: counts, losses, pictures."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pathgptomic.report.grids import Cell, Column, Grid, Row, whole, words
from pathgptomic.report.wording import percent

MOST_LOST = 20  # slides that are named one by one
TILES = {
    "kept": "read and encoded",
    "pen": "marker pen",
    "fold": "tissue lies double",
    "background": "bare glass",
    "blur": "out of focus",
    "unreadable": "does not decode",
}
STATUS = {
    "ok": "read and encoded",
    "empty": "read, no tile passed the limits",
    "skipped": "skipped: resolution unknown or too coarse",
    "failed": "failed",
    "left out": "not asked for (frozen section)",
}
SOURCES = {"metadata": "the file", "power": "the objective power", "override": "the table of overrides"}


def slides_section(path: str | Path) -> dict[str, Any]:
    """Return sentence, tables and legend of the section on slides.

    Parameters
    ----------
    path
        Facts of the slides stage (slides.json).
    """
    facts = json.loads(Path(path).read_text(encoding="utf-8"))
    grids = [_slides(facts), _tiles(facts), _lost(facts["lost"])]
    return {
        "sentence": _sentence(facts),
        "tables": [grid for grid in grids if grid is not None],
        "legend": [{"colour": colour, "meaning": TILES[name]} for name, colour in facts["colours"].items()],
    }


def heatmap_caption(title: str, simulated: bool) -> str:
    """Say what the sheet of a model's heatmaps shows and what it cannot show."""
    caption = (
        f"Where the model \u201c{title}\u201d looked: the patients of highest predicted risk first, those of lowest "
        "last. Among a patient's tiles yellow ones had most weight and dark ones least (ranks, not amounts). The "
        "weights are the mean of the networks that tested the patient, none of which was fitted on that patient. "
        "Attention says what a network pooled, not what causes the risk."
    )
    planted = (
        " In this simulated cohort the nuclear density of the tumour carries the risk and stroma has few nuclei in "
        "every patient: a map can show whether the network tells tumour from stroma, and no more than that, since the "
        "tumour of a slide is equally dense everywhere."
    )
    return caption + planted * bool(simulated)


def _sentence(facts: Mapping[str, Any]) -> str:
    status, dropped = facts["status"], sum(facts["left_out_tiles"].values())
    asked = facts["slides"] - status.get("left out", 0)
    lost = len(facts["lost"])
    sources = ", ".join(f"{SOURCES[name]} ({count:,})" for name, count in facts["mpp_source"].items())
    return (
        f"{status.get('ok', 0):,} of {asked:,} slides gave {facts['tiles']:,} tiles of {facts['patients']:,} patients; "
        f"{dropped:,} further tiles of tissue were left out ({percent(dropped / max(facts['tiles'] + dropped, 1))}). "
        f"{_losses(lost)} Microns per pixel come from {sources}."
    )


def _losses(lost: int) -> str:
    if lost < 2:
        return "One slide was lost." if lost else "No slide was lost."
    return f"{lost:,} slides were lost."


def _slides(facts: Mapping[str, Any]) -> Grid:
    counts = [(words_, facts["status"].get(name, 0)) for name, words_ in STATUS.items()]
    return _shares("What became of the slides", "Slides", counts)


def _tiles(facts: Mapping[str, Any]) -> Grid:
    counts = [(words_, facts["left_out_tiles"].get(name, facts["tiles"])) for name, words_ in TILES.items()]
    return _shares("What became of the tiles of tissue", "Tiles", counts)


def _shares(caption: str, title: str, counts: list[tuple[str, int]]) -> Grid:
    total = sum(count for _, count in counts)
    rows = [
        Row([words(label), whole(count), Cell(percent(count / total), count / total)])
        for label, count in counts
        if count or label == TILES["kept"]
    ]
    return Grid(caption, [Column("", numeric=False), Column(title), Column("Share")], rows)


def _lost(lost: list[Mapping[str, str]]) -> Grid | None:
    if not lost:
        return None
    rows = [Row([words(slide[key]) for key in ("slide_id", "status", "reason")]) for slide in lost[:MOST_LOST]]
    more = len(lost) - MOST_LOST
    columns = [Column(title, numeric=False) for title in ("Slide", "What", "Why")]
    return Grid("Slides that were lost", columns, rows, f"{more:,} more are in slides/slides.tsv." if more > 0 else "")
