"""Read expression profiles from an .h5ad file by name, as the genes that scGPT knows."""

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import scipy.sparse as sp

logger = logging.getLogger(__name__)


class Profiles:
    """The profiles of an .h5ad file; only the rows asked for are read.

    Parameters
    ----------
    path
        AnnData file, profiles x genes, var names are gene symbols. Its ``uns["scale"]``, where given, is `linear`.
    vocabulary
        Token ids by gene symbol.
    minimum_known
        Smallest share of the file's genes that has to be in the vocabulary.

    Raises
    ------
    ValueError
        If the scale is not linear, too few genes are known, or a profile's name occurs twice.
    """

    def __init__(self, path: str | Path, vocabulary: Mapping[str, int], *, minimum_known: float = 0.3):
        import anndata

        self.path = Path(path)
        self._data = anndata.read_h5ad(path, backed="r")
        scale = str(self._data.uns.get("scale", "linear"))
        if scale != "linear":
            raise ValueError(
                f"{path} is on the scale '{scale}': scGPT ranks the genes within a profile, which a per-gene scaling "
                "destroys; give counts, TPM or RSEM values."
            )
        self.names = [str(name) for name in self._data.obs_names]
        if len(set(self.names)) < len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise ValueError(f"{path} has more than one profile '{twice}'; the names of profiles have to be unique.")
        symbols = [str(symbol) for symbol in self._data.var_names]
        self.known_share = sum(symbol in vocabulary for symbol in symbols) / max(1, len(symbols))
        if self.known_share < minimum_known:
            raise ValueError(
                f"only {self.known_share:.0%} of the {len(symbols)} genes of {path} (such as {', '.join(symbols[:3])}) "
                f"are in the checkpoint's vocabulary, under genomics.minimum_known = {minimum_known:.0%}; gene symbols "
                "are needed, not Ensembl or Entrez numbers."
            )
        self.genes, self._join = _join_columns(symbols, vocabulary)
        self.tokens = np.array([vocabulary[gene] for gene in self.genes], dtype=np.int64)

    def read(self, rows: np.ndarray) -> sp.csr_matrix:
        """Return the profiles at ascending positions `rows` as CSR (rows, known genes), zeros left out.

        Columns that share a symbol are summed: bulk of a gene is the sum of its transcripts.

        Raises
        ------
        ValueError
            If a value is negative or not a number.
        """
        block = self._data.X[rows]
        block = sp.csr_matrix(block, dtype=np.float32)
        bad = np.flatnonzero(~(block.data >= 0) | np.isinf(block.data))
        if len(bad):
            row = int(np.searchsorted(block.indptr, bad[0], side="right") - 1)
            gene = self._data.var_names[block.indices[bad[0]]]
            raise ValueError(
                f"{self.path}: profile '{self.names[rows[row]]}' has the value {block.data[bad[0]]:g} for {gene}; "
                "scGPT needs expression on a linear scale without negative or missing values (counts, TPM or RSEM, no "
                "z-scores or log-ratios)."
            )
        known = sp.csr_matrix(block @ self._join)
        known.eliminate_zeros()
        known.sort_indices()
        return known


def _join_columns(symbols: list[str], vocabulary: Mapping[str, int]) -> tuple[list[str], sp.csr_matrix]:
    """Return the known genes in order of first occurrence, and the matrix that sums columns by gene."""
    position: dict[str, int] = {}
    rows, columns = [], []
    for row, symbol in enumerate(symbols):
        # special tokens are no genes, whatever a column is called
        if symbol in vocabulary and not symbol.startswith("<"):
            rows.append(row)
            columns.append(position.setdefault(symbol, len(position)))
    ones = np.ones(len(rows), dtype=np.float32)
    return list(position), sp.csr_matrix((ones, (rows, columns)), shape=(len(symbols), len(position)))
