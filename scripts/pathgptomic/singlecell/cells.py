"""Fetch a labelled single-cell reference: choose cells, check that they are raw counts, write them donor-split."""

import json
import logging
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import scipy.sparse as sp
from tqdm import tqdm

from pathgptomic.files import atomic
from pathgptomic.singlecell.choose import PARTS, sample_cells, split_donors
from pathgptomic.singlecell.sources import BLOCK, Cells, CensusCells, FileCells, Query
from pathgptomic.singlecell.stream import CsrWriter

logger = logging.getLogger(__name__)


def fetch_cells(*, settings: dict, path: str, seed: int, cells: str, composition: str) -> None:
    """Write a reference of labelled single cells.

    Parameters
    ----------
    settings
        One entry of ``singlecell.references``.
    path
        The .h5ad file of an `h5ad` source, resolved; empty otherwise.
    seed
        Seed of the run.
    cells
        AnnData file to write: raw counts (CSR float32); obs: cell_type, label, donor, part (train, validation, test),
        depth; sorted by part, so that each part is one run of rows.
    composition
        Table to write: cells by part, donor and cell type.
    """
    source = open_source(settings, path)
    chosen = sample_cells(
        source.tables(),
        groups=settings["groups"],
        others=settings["others"],
        cap=settings["cap"],
        minimum=settings["minimum_cells"],
        seed=seed,
    )
    held_out = settings["held_out"]
    chosen["part"] = split_donors(chosen, validation=held_out["validation"], test=held_out["test"], seed=seed)
    chosen["part"] = pd.Categorical(chosen["part"], categories=PARTS, ordered=True)
    # within a part by position, the order in which every source reads fastest
    chosen = chosen.sort_values(["part", "position"])
    check = CountCheck(settings["counts"], path or settings["census"].get("uri") or settings["census"]["version"])
    with atomic(cells) as temporary:
        _write(temporary, source, chosen, check, settings)
    table = chosen.groupby(["part", "donor", "cell_type"], observed=True).size().rename("cells")
    with atomic(composition) as temporary:
        table.to_csv(temporary, sep="\t")


def open_source(settings: dict, path: str) -> Cells:
    """Open the source that a reference names."""
    if settings["source"] == "census":
        census = settings["census"]
        return CensusCells(Query(**{key: tuple(v) if isinstance(v, list) else v for key, v in census.items()}))
    keys = ("label", "donor", "pattern", "layer", "symbols")
    return FileCells(path, **{key: settings["file"][key] for key in keys})


def _write(path, source: Cells, chosen: pd.DataFrame, check: "CountCheck", settings: dict) -> None:
    writer = CsrWriter(path, len(source.genes))
    depth = []
    positions = chosen["position"].to_numpy()
    blocks = source.counts(positions)
    for block in tqdm(blocks, total=-(-len(positions) // BLOCK), unit="block", desc="cells", mininterval=5):
        check.add(block)
        depth.append(np.asarray(block.sum(axis=1)).ravel())
        writer.add(block)
    check.finish()
    obs = chosen[["cell_type", "label", "donor", "part"]].assign(depth=np.concatenate(depth).astype(np.float32))
    var = pd.DataFrame(index=pd.Index(source.genes, dtype=str))
    writer.close(obs, var, uns={"scale": "linear", "source": json.dumps(settings, sort_keys=True)})


@dataclass
class CountCheck:
    """Tells raw counts from normalised or logarithmic values, block by block.

    Parameters
    ----------
    kind
        ``integer``: whole numbers only. ``expected``: estimated counts with fractions too (RSEM, Smart-seq2).
    name
        Name of the source, for the message.
    """

    kind: str
    name: str
    largest: float = 0.0
    depths: list[np.ndarray] = field(default_factory=list)

    def add(self, block: sp.csr_matrix) -> None:
        """Look at a block of cells.

        Raises
        ------
        ValueError
            At the first value that no count can have.
        """
        values = block.data
        bad = values[~(values >= 0) | np.isinf(values)]
        if len(bad):
            raise ValueError(f"{self.name} has the value {bad[0]:g}, which is no count; {self._advice()}")
        if self.kind == "integer" and (values != np.round(values)).any():
            fraction = values[values != np.round(values)][0]
            raise ValueError(
                f"{self.name} has the value {fraction:g}, which is no whole number; {self._advice()}, or set counts: "
                "expected if these are estimated counts (RSEM, Smart-seq2)."
            )
        self.largest = max(self.largest, float(values.max(initial=0)))
        self.depths.append(np.asarray(block.sum(axis=1)).ravel())

    def finish(self) -> None:
        """Judge all cells together.

        Raises
        ------
        ValueError
            If the values look like logarithms, or all cells have the same depth, or a cell is empty.
        """
        depths = np.concatenate(self.depths)
        if (depths == 0).any():
            raise ValueError(f"{self.name} has {(depths == 0).sum()} cells without any count; remove them.")
        whole = self.kind == "integer"
        if not whole and self.largest < 30:
            raise ValueError(
                f"the largest value of {self.name} is {self.largest:g}, so these look like logarithms; {self._advice()}"
            )
        if len(depths) > 10 and not whole and depths.std() < 1e-3 * depths.mean():
            raise ValueError(
                f"all cells of {self.name} sum to {depths.mean():g}, so they look depth-normalised; {self._advice()}"
            )

    def _advice(self) -> str:
        return "mixing needs raw counts: name the layer that holds them"
