"""Mutation calls (MAF) -> patients x genes, 1 where a patient has a call of one of the chosen classes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from tqdm import tqdm

from pathgptomic.cohort.gdc.tabular import read_tsv

GENE, CLASS, BARCODE = "Hugo_Symbol", "Variant_Classification", "Tumor_Sample_Barcode"
# Classes that change the protein; the words of the MAF specification
PROTEIN_CHANGING = (
    "Missense_Mutation", "Nonsense_Mutation", "Frame_Shift_Del", "Frame_Shift_Ins", "In_Frame_Del", "In_Frame_Ins",
    "Splice_Site", "Nonstop_Mutation", "Translation_Start_Site",
)  # fmt: skip
OTHER = (
    "Silent", "Intron", "3'UTR", "5'UTR", "3'Flank", "5'Flank", "IGR", "RNA", "Splice_Region", "Targeted_Region",
)  # fmt: skip
CLASSES = (*PROTEIN_CHANGING, *OTHER)


def read_maf(path: str | Path) -> pd.DataFrame:
    """Read a MAF (plain or gzip): `gene`, `variant` (its class) and `barcode` (of the tumour sample), a row a call.

    A file without a call has no rows: its patient was sequenced and has no mutation.

    Raises
    ------
    ValueError
        If a column is absent or a class is none of the specification's.
    """
    table = read_tsv(path, {GENE: pa.string(), CLASS: pa.string(), BARCODE: pa.string()}).to_pandas()
    table = table.rename(columns={GENE: "gene", CLASS: "variant", BARCODE: "barcode"})
    unknown = sorted(set(table["variant"]) - set(CLASSES))
    if unknown:
        raise ValueError(f"{path} has the variant class {unknown[0]!r}, which is none of the MAF specification.")
    return table[["gene", "variant", "barcode"]].astype(str)


def mutation_table(
    calls: pd.DataFrame, patients: Sequence[str], classes: Sequence[str] = PROTEIN_CHANGING, genes: Sequence[str] = ()
) -> pd.DataFrame:
    """Return patients x genes, float32, 1 where mutated.

    Parameters
    ----------
    calls
        `patient_id`, `gene`, `variant`.
    patients
        All who were sequenced: they get a row, mutated or not.
    classes
        Variant classes that count.
    genes
        Genes to keep, whether seen or not; all that are seen if empty.
    """
    counted = calls[calls["variant"].isin(classes) & ~calls["gene"].isin(["", "Unknown", "."])]
    names = sorted(set(genes) or set(counted["gene"]))
    counted = counted[counted["gene"].isin(names) & counted["patient_id"].isin(patients)]
    rows, columns = pd.Index(patients, name="patient_id"), pd.Index(names)
    values = np.zeros((len(rows), len(columns)), np.float32)
    values[rows.get_indexer(counted["patient_id"]), columns.get_indexer(counted["gene"])] = 1.0
    return pd.DataFrame(values, rows, columns)


def read_mutation_files(
    paths: Mapping[str, str], *, classes: Sequence[str] = PROTEIN_CHANGING, genes: Sequence[str] = ()
) -> pd.DataFrame:
    """Read one MAF a patient; see `mutation_table`."""
    calls = [read_maf(path).assign(patient_id=p) for p, path in tqdm(paths.items(), desc="mutations", unit="file")]
    return mutation_table(pd.concat(calls), list(paths), classes, genes)
