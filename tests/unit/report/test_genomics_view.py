"""What the report says of scGPT and its adapters is what their tables hold."""

from pathlib import Path

import pandas as pd
import pytest

from pathgptomic.report.genomics_view import genomics_grids
from tests.unit.report.page import read_page

QUALITY = [
    ("P1", 18_000, 0.01, 16, 0.999, 0.98),
    ("P2", 17_000, 0.03, 15, 0.995, 0.97),
    ("P3", 0, None, 0, None, None),
    ("P4", 17_500, 0.02, 15, None, 0.96),
]
EVALUATION = [
    ("mixup", "raw-probe", "pairs", "pairs", 100, 0.10, 0.9, 0.88, 0.0, 0.0, 0.0),
    ("mixup", "own", "pairs", "pairs", 100, 0.08, 0.9, 0.91, -0.02, -0.03, -0.01),
]
DOMAIN = [("mixup", "frozen", "pairs", 90, 100, 0.5, 1.0), ("mixup", "adapted", "pairs", 90, 100, 0.2, 0.9)]


@pytest.fixture
def files(tmp_path: Path) -> dict:
    read = ["adapter", "readout", "trained_on", "form", "n", "rmse", "pearson", "ccc"]
    tables = {
        "quality": (["profile", "expressed", "ties", "sequences", "draw_cosine", "others_cosine"], QUALITY),
        "evaluations": ([*read, "delta", "delta_low", "delta_high"], EVALUATION),
        "domains": (["adapter", "space", "form", "n_bulk", "n_mixtures", "mmd", "auc"], DOMAIN),
    }
    for name, (columns, rows) in tables.items():
        pd.DataFrame(rows, columns=columns).to_csv(tmp_path / f"{name}.tsv", sep="\t", index=False)
    many = {name: [str(tmp_path / f"{name}.tsv")] for name in ("evaluations", "domains")}
    return {"quality": str(tmp_path / "quality.tsv")} | many


def cells(grid) -> list[list[str]]:
    return [[" ".join(filter(None, (cell.text, cell.note))) for cell in row.cells] for row in grid.rows]


def test_quality_of_embeddings(files):
    facts = dict(cells(genomics_grids(files)[0]))
    assert facts["Profiles embedded"] == "3"
    assert facts["Profiles without a gene that scGPT knows"] == "1"
    assert facts["Sequences a profile, median"] == "15"
    assert facts["Genes whose bin is left to chance (ties), median"].startswith("2")
    # the mean of the two that were drawn twice
    assert facts["Cosine of two draws of one profile, mean"] == "0.99700 (lowest 0.99500; 2 profiles)"
    assert facts["Cosine of different profiles, mean"] == "0.97000"


def test_fractions_and_distances(files):
    _, fractions, domains = genomics_grids(files)
    raw, own = cells(fractions)
    assert raw[2] == "linear probe on the frozen embedding"
    assert own[:5] == ["mixup", "two cells mixed", "its own linear layer", "100", "0.0800"]
    assert own[5].startswith("−0.020 (")
    assert cells(domains) == [["mixup", "two cells mixed", "0.500", "0.200", "1.000", "0.900"]]


def test_page_shows_the_tables_where_there_are_any(run, files, tmp_path):
    page = run.write(tmp_path, files=run.files() | files)
    root = read_page(page)
    captions = [caption.words() for caption in root.all("caption")]
    assert {"What scGPT made of the expression", "Distance of bulk to mixtures"} <= set(captions)
    assert "inputs" in [section.attributes["id"] for section in root.all("section")]
    without = read_page(run.write(tmp_path))
    assert "inputs" not in [section.attributes["id"] for section in without.all("section")]
