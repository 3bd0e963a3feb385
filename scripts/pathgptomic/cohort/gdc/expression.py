"""STAR counts and TPM, one file a sample -> patients x genes."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from tqdm import tqdm

from pathgptomic.cohort.gdc.tabular import read_tsv

logger = logging.getLogger(__name__)

COUNTS = "unstranded"


@dataclass(frozen=True)
class Expression:
    """Linear expression and counts, both patients x symbols, and `genes`: ensembl_id by symbol."""

    values: pd.DataFrame
    counts: pd.DataFrame
    genes: pd.DataFrame
    repeated: int


def read_expression_files(
    paths: Mapping[str, str], *, column: str = "tpm_unstranded", gene_types: Sequence[str] = ()
) -> Expression:
    """Read one file a patient.

    Parameters
    ----------
    paths
        File of each patient.
    column
        Column of the values: ``tpm_unstranded``, ``fpkm_unstranded`` or ``fpkm_uq_unstranded``.
    gene_types
        Types of genes to keep, such as ``protein_coding``; all if empty.

    Returns
    -------
    Expression
        Symbols are unique: second copies on the Y chromosome (``_PAR_Y``) go, and of several genes with one symbol the
        one with the highest mean stays.

    Raises
    ------
    ValueError
        If a file lists other genes than the first, or lacks a value.
    """
    genes: pd.DataFrame | None = None
    keep = np.empty(0, dtype=int)
    values = counts = np.empty((0, 0), np.float32)
    for row, (patient, path) in enumerate(tqdm(paths.items(), desc="expression", unit="file")):
        table = read_tsv(path, {"gene_id": pa.string(), COUNTS: pa.float32(), column: pa.float32()})
        if genes is None:
            genes, keep = _genes(path, gene_types)
            ids = table["gene_id"].combine_chunks()
            values, counts = (np.empty((len(paths), len(keep)), np.float32) for _ in range(2))
        elif not table["gene_id"].combine_chunks().equals(ids):
            raise ValueError(f"{path} of {patient} lists other genes than the first file; lock one gene model only.")
        for name, rows in ((column, values), (COUNTS, counts)):
            rows[row] = table[name].to_numpy()[keep]
            if np.isnan(rows[row]).any():
                raise ValueError(f"{path} lacks a value of {name}; fetch it again.")
    if genes is None:
        raise ValueError("no patient has an expression file.")
    chosen = _one_of_a_symbol(genes, values)
    repeated = len(genes) - len(chosen)
    genes = genes.iloc[chosen]
    index, symbols = pd.Index(paths, name="patient_id"), genes["symbol"].to_numpy()
    return Expression(
        values=pd.DataFrame(values[:, chosen], index, symbols),
        counts=pd.DataFrame(counts[:, chosen], index, symbols),
        genes=genes.set_index("symbol"),
        repeated=repeated,
    )


def _genes(path: str, gene_types: Sequence[str]) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the genes to keep (ensembl_id without version, symbol) and their rows in a file."""
    text = {"gene_id": pa.string(), "gene_name": pa.string(), "gene_type": pa.string()}
    table = read_tsv(path, text).to_pandas()
    is_gene = table["gene_id"].str.startswith("ENSG") & ~table["gene_id"].str.endswith("_PAR_Y")
    if gene_types:
        is_gene &= table["gene_type"].isin(gene_types)
    if not is_gene.any():
        raise ValueError(f"{path} has no gene of the types {', '.join(gene_types)}; correct gdc.expression.gene_types.")
    keep = np.flatnonzero(is_gene)
    genes = pd.DataFrame({"ensembl_id": table["gene_id"].str.split(".").str[0], "symbol": table["gene_name"]}).iloc[
        keep
    ]
    return genes.reset_index(drop=True), keep


def _one_of_a_symbol(genes: pd.DataFrame, values: np.ndarray) -> np.ndarray:
    """Return the positions of the genes that stay, in their order."""
    ranked = genes.assign(mean=values.mean(axis=0, dtype=np.float64)).sort_values(
        "mean", ascending=False, kind="stable"
    )
    return np.sort(ranked.index[~ranked["symbol"].duplicated()].to_numpy())
