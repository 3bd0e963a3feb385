"""What scGPT and the adapters made of the expression: dependence on the draw, fractions of held-out donors, domains."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pathgptomic.report.grids import Cell, Column, Grid, Row, difference, value, whole, words
from pathgptomic.report.wording import percent

FORMS = {"cells": "single cells", "pairs": "two cells mixed", "pseudobulk": "many cells mixed"}
READOUTS = {
    "own": "its own linear layer",
    "probe": "linear probe on the adapted embedding",
    "raw-probe": "linear probe on the frozen embedding",
}


def genomics_grids(files: Mapping[str, Any]) -> list[Grid]:
    """Return the tables on the embeddings of a cohort and on its adapters.

    Parameters
    ----------
    files
        ``quality`` (quality.tsv of the cohort's embeddings), ``evaluations`` (evaluation.tsv of each adapter) and
        ``domains`` (domain table of each adapter); what is not there is left out.
    """
    grids = [_quality(files["quality"])] if files.get("quality") else []
    grids += [_fractions(files["evaluations"])] if files.get("evaluations") else []
    return grids + ([_domains(files["domains"])] if files.get("domains") else [])


def _quality(path: str | Path) -> Grid:
    table = pd.read_csv(path, sep="\t")
    drawn = table.dropna(subset="draw_cosine")
    silent = int((table["sequences"] == 0).sum())
    facts = [
        ("Profiles embedded", whole(len(table) - silent)),
        ("Profiles without a gene that scGPT knows", whole(silent)),
        ("Expressed genes that scGPT knows, median", whole(table["expressed"].median())),
        ("Sequences a profile, median", whole(table["sequences"].median())),
        ("Genes whose bin is left to chance (ties), median", Cell(percent(table["ties"].median()))),
    ]
    if len(drawn):
        lowest = f"(lowest {drawn['draw_cosine'].min():.5f}; {len(drawn)} profiles)"
        facts.append(("Cosine of two draws of one profile, mean", value(drawn["draw_cosine"].mean(), 5, lowest)))
    facts.append(("Cosine of different profiles, mean", value(table["others_cosine"].mean(), 5)))
    note = (
        "scGPT sees the genes of a bulk profile in random parts. Where two draws of one profile are no more alike than "
        "different profiles, an embedding says more about the draw than about the patient."
    )
    columns = [Column("Embeddings of the bulk profiles", numeric=False), Column("")]
    return Grid("What scGPT made of the expression", columns, [Row([words(name), cell]) for name, cell in facts], note)


def _fractions(paths: Sequence[str | Path]) -> Grid:
    table = pd.concat([pd.read_csv(path, sep="\t") for path in paths])
    rows = [
        Row(
            [
                words(each.adapter),
                words(FORMS.get(each.form, each.form)),
                words(READOUTS.get(each.readout, each.readout)),
                whole(each.n),
                value(each.rmse, 4),
                words("") if each.readout == "raw-probe" else difference(each.delta, each.delta_low, each.delta_high),
                value(each.ccc),
            ]
        )
        for each in table.itertuples()
    ]
    columns = [
        Column("Adapter", numeric=False),
        Column("Profiles", numeric=False),
        Column("Fractions by", numeric=False),
        Column("n"),
        Column("Error", help="Root mean squared error of the cell-type fractions"),
        Column("Against the frozen probe", help="Difference to the linear probe on the frozen embedding (95 %)"),
        Column("Concordance", help="Lin's concordance correlation, mean over the cell types"),
    ]
    note = (
        "Profiles of donors that no adapter and no probe has seen; a negative difference means that the adapter knows "
        "more of the cell types than a line drawn through the frozen embedding."
    )
    return Grid("Cell-type fractions of held-out donors", columns, rows, note, stacked=True)


def _domains(paths: Sequence[str | Path]) -> Grid:
    table = pd.concat([pd.read_csv(path, sep="\t") for path in paths])
    rows = []
    for (adapter, form), pair in table.groupby(["adapter", "form"], sort=False):
        by_space = pair.set_index("space")
        cells = [value(by_space[measure].get(space)) for measure in ("mmd", "auc") for space in ("frozen", "adapted")]
        rows.append(Row([words(adapter), words(FORMS.get(str(form), form)), *cells]))
    columns = [
        Column("Adapter", numeric=False),
        Column("Bulk against", numeric=False),
        Column("Distance, frozen", help="Squared maximum mean discrepancy; 0 where the two are alike"),
        Column("Distance, adapted"),
        Column("AUC, frozen", help="Of a classifier that tells the two apart; 0.5 where it cannot"),
        Column("AUC, adapted"),
    ]
    note = "How far the bulk profiles lie from the profiles that the adapter was trained on, before and after it."
    return Grid("Distance of bulk to mixtures", columns, rows, note)
