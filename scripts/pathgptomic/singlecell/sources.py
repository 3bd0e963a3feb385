"""Where single cells come from: a release of the CELLxGENE Census, a local copy of it, or an .h5ad file.

Every source gives the same three things: a table of the cells (in pieces), the gene symbols, and the counts of chosen
cells (in blocks). None of them ever holds more than a block of counts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import scipy.sparse as sp

BLOCK = 4096  # cells whose counts are in memory at once
# Names that say that a donor is not known. Such cells are told apart by their data set.
NO_DONOR = {"", "nan", "na", "unknown", "pooled"}


class Cells(Protocol):
    """A source of single cells."""

    genes: list[str]

    def tables(self) -> Iterator[pd.DataFrame]:
        """Yield the cells: index is the name, columns are position (int), label and donor (text)."""

    def counts(self, positions: np.ndarray) -> Iterator[sp.csr_matrix]:
        """Yield the counts of the cells at `positions`, in that order, in blocks of rows."""


@dataclass(frozen=True)
class Query:
    """What is asked of the Census: a dated release or the address of a copy, and what cells have to be."""

    version: str = ""
    uri: str = ""
    tissue: tuple[str, ...] = ()
    disease: tuple[str, ...] = ()
    assay: tuple[str, ...] = ()

    def filter(self) -> str:
        """Return the query in the Census' own language; cells that a second data set repeats are left out."""
        parts = ["is_primary_data == True"]
        for column, values in (("tissue_general", self.tissue), ("disease", self.disease), ("assay", self.assay)):
            if values:
                parts.append(f"{column} in {list(values)!r}")
        return " and ".join(parts)


class CensusCells:
    """Cells of the CELLxGENE Census (human, RNA, raw counts)."""

    # The library's own buffers of 1 GiB a column would be most of the memory of a run.
    BUFFERS = {"soma.init_buffer_bytes": 64 * 1024**2}

    def __init__(self, query: Query):
        import cellxgene_census

        address = {"uri": query.uri} if query.uri else {"census_version": query.version}
        self._census = cellxgene_census.open_soma(**address, tiledb_config=self.BUFFERS)
        self._human = self._census["census_data"]["homo_sapiens"]
        self._rna = self._human.ms["RNA"]
        self._filter = query.filter()
        var = self._rna.var.read(column_names=["soma_joinid", "feature_name"]).concat().to_pandas()
        self.genes = var.sort_values("soma_joinid")["feature_name"].astype(str).tolist()
        self._width = len(self.genes)

    def tables(self) -> Iterator[pd.DataFrame]:
        """Yield the cells of the query."""
        columns = ["soma_joinid", "cell_type", "donor_id", "dataset_id"]
        for part in self._human.obs.read(value_filter=self._filter, column_names=columns):
            table = part.to_pandas()
            donor = table["donor_id"].astype(str)
            donor = donor.where(~donor.str.lower().isin(NO_DONOR), "dataset " + table["dataset_id"].astype(str))
            position = table["soma_joinid"].to_numpy()
            content = {
                "position": position,
                "label": table["cell_type"].astype(str).to_numpy(),
                "donor": donor.to_numpy(),
            }
            yield pd.DataFrame(content, index=position.astype(str))

    def counts(self, positions: np.ndarray) -> Iterator[sp.csr_matrix]:
        """Yield the raw counts of some cells; the Census is read in the order of its own numbering."""
        for start in range(0, len(positions), BLOCK):
            wanted = positions[start : start + BLOCK]
            ascending = np.sort(wanted)
            rows, columns, values = [], [], []
            for part in self._rna.X["raw"].read((ascending,)).tables():
                rows.append(np.searchsorted(ascending, part["soma_dim_0"].to_numpy()).astype(np.int32))
                columns.append(part["soma_dim_1"].to_numpy().astype(np.int32))
                values.append(part["soma_data"].to_numpy().astype(np.float32))
            triplet = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
            block = sp.csr_matrix(triplet, shape=(len(wanted), self._width))
            yield block[np.searchsorted(ascending, wanted)]


class FileCells:
    """Cells of an .h5ad file.

    Parameters
    ----------
    path
        The file.
    label
        Column of ``obs`` with the cell type.
    donor
        Column of ``obs`` with the donor; empty to take `pattern`.
    pattern
        Regular expression whose first group, in a cell's name, is the donor.
    layer
        Layer with the raw counts; empty for X.
    symbols
        Column of ``var`` with the gene symbols; empty for the index.
    """

    def __init__(
        self, path: str | Path, *, label: str, donor: str = "", pattern: str = "", layer: str = "", symbols: str = ""
    ):
        import anndata

        self._data = anndata.read_h5ad(path, backed="r")
        self._path, self._label, self._donor, self._pattern = path, label, donor, pattern
        for column in filter(None, (label, donor)):
            if column not in self._data.obs:
                known = ", ".join(map(str, self._data.obs.columns))
                raise ValueError(f"{path} has no obs column '{column}'; it has {known}.")
        if layer and layer not in self._data.layers:
            known = ", ".join(self._data.layers) or "none"
            raise ValueError(f"{path} has no layer '{layer}' (layers: {known}); name the one with raw counts.")
        if symbols and symbols not in self._data.var:
            known = ", ".join(map(str, self._data.var.columns)) or "none"
            raise ValueError(
                f"{path} has no var column '{symbols}' (columns: {known}); name the one with gene symbols."
            )
        self._matrix = self._data.layers[layer] if layer else self._data.X
        names = self._data.var[symbols] if symbols else self._data.var_names
        self.genes = [str(name) for name in names]

    def tables(self) -> Iterator[pd.DataFrame]:
        """Yield the cells of the file, in one table."""
        names = self._data.obs_names.astype(str)
        label = self._data.obs[self._label].astype(str)
        if self._donor:
            donor = self._data.obs[self._donor].astype(str).to_numpy()
        else:
            donor = names.str.extract(f"(?:{self._pattern})", expand=True)[0].to_numpy()
            lost = names[pd.isna(donor)]
            if len(lost):
                raise ValueError(
                    f"the donor pattern '{self._pattern}' finds nothing in the cell name '{lost[0]}' of {self._path} "
                    f"(and in {len(lost) - 1} others); correct it or name the donor's column."
                )
        content = {"position": np.arange(len(names)), "label": label.to_numpy(), "donor": donor}
        yield pd.DataFrame(content, index=names)

    def counts(self, positions: np.ndarray) -> Iterator[sp.csr_matrix]:
        """Yield the counts of some cells."""
        for start in range(0, len(positions), BLOCK):
            wanted = positions[start : start + BLOCK]
            ascending = np.argsort(wanted)
            block = sp.csr_matrix(self._matrix[wanted[ascending]], dtype=np.float32)
            yield block[np.argsort(ascending)]
