import base64
import json
from pathlib import Path

import pytest

from pathgptomic.report.slides_view import MOST_LOST, heatmap_caption, slides_section
from tests.unit.report.page import read_page, tables
from tests.unit.report.test_html import PIXEL

FACTS = {
    "slides": 130,
    "status": {"ok": 120, "empty": 2, "skipped": 1, "failed": 3, "left out": 4},
    "patients": 101,
    "tiles": 3000,
    "left_out_tiles": {"pen": 700, "fold": 0, "background": 30, "blur": 270, "unreadable": 0},
    "mpp_source": {"metadata": 118, "power": 4},
    "reader": {"tiles": 122},
    "lost": [{"slide_id": f"S{i}", "status": "failed", "reason": f"is <empty> {i}"} for i in range(4)],
    "colours": dict.fromkeys(("kept", "pen", "fold", "background", "blur", "unreadable"), "#009e73"),
}


def section(folder: Path, **changes) -> dict:
    (folder / "slides.json").write_text(json.dumps(FACTS | changes))
    return slides_section(folder / "slides.json")


def test_the_sentence_counts_slides_tiles_and_losses(tmp_path):
    assert section(tmp_path)["sentence"] == (
        "120 of 126 slides gave 3,000 tiles of 101 patients; 1,000 further tiles of tissue were left out (25 %). "
        "4 slides were lost. Microns per pixel come from the file (118), the objective power (4)."
    ).replace(" %", "\N{NO-BREAK SPACE}%")
    assert "No slide was lost." in section(tmp_path, lost=[])["sentence"]
    assert "One slide was lost." in section(tmp_path, lost=FACTS["lost"][:1])["sentence"]


def test_only_fates_that_occurred_have_a_row_and_shares_add_up(tmp_path):
    slides, tiles, _ = section(tmp_path)["tables"]
    assert [row.cells[1].order for row in slides.rows] == [120, 2, 1, 3, 4]
    assert [row.cells[0].text for row in tiles.rows] == [
        "read and encoded", "marker pen", "bare glass", "out of focus",
    ]  # fmt: skip
    assert sum(row.cells[2].order for row in tiles.rows) == pytest.approx(1)
    assert len(section(tmp_path, lost=[])["tables"]) == 2


def test_many_lost_slides_are_cut_and_counted(tmp_path):
    lost = [{"slide_id": f"S{i}", "status": "failed", "reason": "is empty"} for i in range(MOST_LOST + 7)]
    grid = section(tmp_path, lost=lost)["tables"][2]
    assert len(grid.rows) == MOST_LOST
    assert grid.note.startswith("7 more are in")


def test_the_page_has_the_section_with_its_pictures(run, tmp_path):
    section(tmp_path)
    (tmp_path / "sheet.png").write_bytes(PIXEL)
    picture = {"path": str(tmp_path / "sheet.png"), "title": "Contact sheet", "caption": "All <b> slides"}
    files = run.files() | {"slides": tmp_path / "slides.json"}
    root = read_page(run.write(tmp_path, files=files, slide_pictures=[picture]))
    (part,) = [each for each in root.all("section") if each.attributes["id"] == "slides"]
    (image,) = part.all("img")
    assert base64.b64decode(image.attributes["src"].split(",")[1]) == PIXEL
    assert "All <b> slides" in part.words()
    assert "is <empty> 3" in part.words()
    assert len(part.all("i")) == 6
    assert tables(part).keys() == {
        "What became of the slides",
        "What became of the tiles of tissue",
        "Slides that were lost",
    }


def test_a_cohort_without_slides_has_no_such_section(run, tmp_path):
    root = read_page(run.write(tmp_path))
    assert "slides" not in [each.attributes["id"] for each in root.all("section")]


def test_the_caption_says_whose_weights_they_are_and_what_was_planted():
    real, made_up = heatmap_caption("Slides", simulated=False), heatmap_caption("Slides", simulated=True)
    assert "none of which was fitted on that patient" in real
    assert "simulated" not in real
    assert made_up.startswith(real)
    assert "cannot" not in real
    assert "tells tumour from stroma, and no more than that" in made_up
