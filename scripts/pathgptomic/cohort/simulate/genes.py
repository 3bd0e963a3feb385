"""The genes of a simulated cohort: real symbols with their chromosome arms, and made-up ones beyond."""

import functools
from importlib.resources import files

import pandas as pd

from pathgptomic.cohort.gdc.genome import arm_of

# Lengths of the chromosomes, GRCh38
LENGTH_MB = {
    "1": 248.9, "2": 242.1, "3": 198.2, "4": 190.2, "5": 181.5, "6": 170.8, "7": 159.3, "8": 145.1, "9": 138.3,
    "10": 133.7, "11": 135.0, "12": 133.2, "13": 114.3, "14": 107.0, "15": 101.9, "16": 90.3, "17": 83.2, "18": 80.3,
    "19": 58.6, "20": 64.4, "21": 46.7, "22": 50.8, "X": 156.0,
}  # fmt: skip


@functools.cache
def _real_genes() -> pd.DataFrame:
    with files(__package__).joinpath("genes.tsv").open() as handle:
        return pd.read_csv(handle, sep="\t", dtype={"chromosome": str})


def gene_table(n: int) -> pd.DataFrame:
    """Return `n` genes: symbol, ensembl_id, chromosome, start_mb (megabases) and arm (missing on X).

    Cell-type markers and often mutated genes come first. Up to 2,000 symbols are real (positions rounded to 0.1 Mb);
    the rest are made up (``SIM02000`` ...) and spread over the chromosomes.
    """
    real = _real_genes()
    genes = real.head(n)
    if n > len(real):
        extra = range(len(real), n)
        chromosomes = list(LENGTH_MB)
        made_up = pd.DataFrame(
            {
                "symbol": [f"SIM{i:05d}" for i in extra],
                "ensembl_id": [f"ENSG009{i:08d}" for i in extra],
                "chromosome": [chromosomes[i % len(chromosomes)] for i in extra],
                "start_mb": [
                    round(0.98 * LENGTH_MB[chromosomes[i % len(chromosomes)]] * ((i * 0.618034) % 1), 1) for i in extra
                ],
            }
        )
        genes = pd.concat([genes, made_up], ignore_index=True)
    return genes.assign(arm=arm_of(genes["chromosome"], 1e6 * genes["start_mb"])).reset_index(drop=True)
