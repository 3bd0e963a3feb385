"""Files in the formats of the GDC: STAR counts, gene-level copy number, masked MAF."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd

from pathgptomic.seeds import rng

LIBRARY = 30e6  # reads of a sample
SUMMARY = (
    "N_unmapped\t\t\t900000\t900000\t900000\t\t\t\nN_multimapping\t\t\t2000000\t2000000\t2000000\t\t\t\n"
    "N_noFeature\t\t\t1500000\t16000000\t16000000\t\t\t\nN_ambiguous\t\t\t800000\t100000\t100000\t\t\t\n"
)
UNSEEN = 25  # genes without a segment in a copy-number file
MAF_HEADER = (
    "Hugo_Symbol", "Entrez_Gene_Id", "Center", "NCBI_Build", "Chromosome", "Start_Position", "End_Position", "Strand",
    "Variant_Classification", "Variant_Type", "Reference_Allele", "Tumor_Seq_Allele1", "Tumor_Seq_Allele2", "dbSNP_RS",
    "Tumor_Sample_Barcode", "Matched_Norm_Sample_Barcode", "HGVSp_Short", "t_depth", "t_ref_count", "t_alt_count",
    "FILTER",
)  # fmt: skip
CHANGING = ("Missense_Mutation", "Missense_Mutation", "Nonsense_Mutation", "Frame_Shift_Del", "Splice_Site")


def star_genes(genes: pd.DataFrame) -> pd.DataFrame:
    """Return the gene columns of a STAR file: gene_id with version, gene_name, gene_type.

    To `genes` come the oddities of the real gene model: a copy on the Y chromosome, a symbol that two genes share, and
    a gene that codes no protein.
    """
    rows = pd.DataFrame(
        {"gene_id": genes["ensembl_id"] + ".7", "gene_name": genes["symbol"], "gene_type": "protein_coding"}
    )
    first, last = genes.iloc[0], genes.iloc[-1]
    odd = pd.DataFrame(
        [
            (f"{last.ensembl_id}.7_PAR_Y", last.symbol, "protein_coding"),
            ("ENSG00999999991.1", first.symbol, "protein_coding"),
            ("ENSG00999999992.1", "SIMLNC1", "lncRNA"),
        ],
        columns=rows.columns,
    )
    return pd.concat([rows, odd], ignore_index=True)


def write_star_counts(path: Path, genes: pd.DataFrame, tpm: np.ndarray, seed: int) -> None:
    """Write ``*.rna_seq.augmented_star_gene_counts.tsv``: `genes` of `star_genes`, `tpm` of all but its odd ones."""
    generator = rng(seed, "simulate", "star counts", path.name)
    tpm = np.concatenate([tpm, [0.0, 0.01, 5.0]]).astype(np.float64)
    counts = generator.poisson(tpm * LIBRARY / 1e6)
    numbers = {
        "unstranded": counts,
        "stranded_first": counts // 2,
        "stranded_second": counts - counts // 2,
        "tpm_unstranded": tpm.round(4),
        "fpkm_unstranded": (0.4 * tpm).round(4),
        "fpkm_uq_unstranded": (0.48 * tpm).round(4),
    }
    with open(path, "w", encoding="utf-8") as handle:
        handle.write("# gene-model: GENCODE v36\n" + "\t".join([*genes, *numbers]) + "\n" + SUMMARY)
        genes.assign(**numbers).to_csv(handle, sep="\t", header=False, index=False)


def write_gene_copies(path: Path, genes: pd.DataFrame, copies: pd.Series, seed: int) -> None:
    """Write ``*.gene_level_copy_number.v36.tsv``; `copies` is by arm, genes off the arms have two."""
    number = genes["arm"].map(copies).fillna(2).astype("Int64")
    unseen = rng(seed, "simulate", "unseen genes", path.name).choice(len(genes), min(UNSEEN, len(genes) // 10), False)
    number.iloc[unseen] = pd.NA
    start = (1e6 * genes["start_mb"]).astype("int64") + 1
    table = pd.DataFrame(
        {
            "gene_id": genes["ensembl_id"] + ".7",
            "gene_name": genes["symbol"],
            "chromosome": "chr" + genes["chromosome"],
            "start": start,
            "end": start + 20_000,
            "copy_number": number,
            "min_copy_number": number,
            "max_copy_number": number,
        }
    )
    table.to_csv(path, sep="\t", index=False)


def write_maf(path: Path, mutated: list[str], aliquot: str, seed: int) -> None:
    """Write ``*.wxs.aliquot_ensemble_masked.maf.gz``: a call of every mutated gene, and silent ones of others."""
    generator = rng(seed, "simulate", "maf", path.name)
    calls = [(gene, str(generator.choice(CHANGING))) for gene in mutated]
    # silent calls change no protein; who has no mutation at all has none of these either, and a file without a row
    calls += [(gene, "Silent") for gene in ("TTN", "MUC16", "FLG") if mutated and generator.random() < 0.3]
    normal = aliquot[:13] + "10A" + aliquot[16:]
    lines = ["#version gdc-1.0.0", "#filedate 20250101", "#n.analyzed.samples 1", f"#tumor.aliquots {aliquot}"]
    lines.append("\t".join(MAF_HEADER))
    for gene, variant in calls:
        start, depth = int(generator.integers(1e6, 9e7)), int(generator.integers(40, 200))
        values = [
            gene, "0", "BI", "GRCh38", "chr1", start, start, "+", variant, "SNP", "C", "C", "T", "novel", aliquot,
            normal, "p.R1H", depth, depth // 2, depth - depth // 2, "PASS",
        ]  # fmt: skip
        lines.append("\t".join(map(str, values)))
    with open(path, "wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as handle:
        handle.write(("\n".join(lines) + "\n").encode())
