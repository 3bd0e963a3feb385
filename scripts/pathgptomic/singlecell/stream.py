"""Write and read AnnData files block by block, so that memory does not grow with the number of profiles."""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp


class CsrWriter:
    """An .h5ad file that grows by blocks of rows.

    Parameters
    ----------
    path
        File to write.
    genes
        Number of columns.
    """

    def __init__(self, path: str | Path, genes: int):
        self._file = h5py.File(path, "w")
        self._genes = genes
        self._rows = self._values = 0
        group = self._file.create_group("X")
        for name, kind in (("data", np.float32), ("indices", np.int32), ("indptr", np.int64)):
            group.create_dataset(name, shape=(0,), maxshape=(None,), dtype=kind, chunks=(1 << 16,))
        self._append("indptr", np.zeros(1, dtype=np.int64))

    def add(self, block: sp.csr_matrix) -> None:
        """Append rows."""
        self._append("data", block.data)
        self._append("indices", block.indices)
        self._append("indptr", block.indptr[1:].astype(np.int64) + self._values)
        self._rows += block.shape[0]
        self._values += block.nnz

    def close(self, obs: pd.DataFrame, var: pd.DataFrame, **parts: dict[str, object]) -> None:
        """Add the tables of rows and columns and further parts (``uns``, ``obsm``), and close the file."""
        from anndata.io import write_elem

        with self._file as file:
            file["X"].attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
            file["X"].attrs["shape"] = np.array([self._rows, self._genes])
            file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
            write_elem(file, "obs", obs)
            write_elem(file, "var", var)
            for name, content in parts.items():
                write_elem(file, name, content)

    def _append(self, name: str, values: np.ndarray) -> None:
        dataset = self._file["X"][name]
        start = dataset.shape[0]
        dataset.resize((start + len(values),))
        dataset[start:] = values


def read_rows(path: str | Path, start: int, stop: int, block: int = 4096) -> Iterator[tuple[int, sp.csr_matrix]]:
    """Yield the first row and the matrix of each block of rows from `start` to before `stop` of a CSR file."""
    with h5py.File(path, "r") as file:
        group = file["X"]
        genes = int(group.attrs["shape"][1])
        for first in range(start, stop, block):
            last = min(first + block, stop)
            pointer = group["indptr"][first : last + 1]
            inside = slice(pointer[0], pointer[-1])
            parts = (group["data"][inside], group["indices"][inside], pointer - pointer[0])
            yield first, sp.csr_matrix(parts, shape=(last - first, genes))
