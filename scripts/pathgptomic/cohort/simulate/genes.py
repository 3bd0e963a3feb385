"""The genes of a simulated cohort: real symbols with their chromosome arms, and made-up ones beyond."""

import functools
from importlib.resources import files

import pandas as pd

# Boundary between the short and the long arm (start of the centromere's second half), megabases, GRCh38
CENTROMERE_MB = {
    "1": 123.4, "2": 93.9, "3": 90.9, "4": 50.0, "5": 48.8, "6": 59.8, "7": 60.1, "8": 45.2, "9": 43.0, "10": 39.8,
    "11": 53.4, "12": 35.5, "13": 17.7, "14": 17.2, "15": 19.0, "16": 36.8, "17": 25.1, "18": 18.5, "19": 26.2,
    "20": 28.1, "21": 12.0, "22": 15.0, "X": 61.0,
}  # fmt: skip
LENGTH_MB = {
    "1": 248.9, "2": 242.1, "3": 198.2, "4": 190.2, "5": 181.5, "6": 170.8, "7": 159.3, "8": 145.1, "9": 138.3,
    "10": 133.7, "11": 135.0, "12": 133.2, "13": 114.3, "14": 107.0, "15": 101.9, "16": 90.3, "17": 83.2, "18": 80.3,
    "19": 58.6, "20": 64.4, "21": 46.7, "22": 50.8, "X": 156.0,
}  # fmt: skip
ACROCENTRIC = ("13", "14", "15", "21", "22")  # their short arms hold no gene that matters
ARMS = tuple(
    f"{chromosome}{arm}"
    for chromosome in CENTROMERE_MB
    if chromosome != "X"
    for arm in ("pq" if chromosome not in ACROCENTRIC else "q")
)


@functools.cache
def _real_genes() -> pd.DataFrame:
    with files(__package__).joinpath("genes.tsv").open() as handle:
        return pd.read_csv(handle, sep="\t", dtype={"chromosome": str})


def gene_table(n: int) -> pd.DataFrame:
    """Return `n` genes: symbol, ensembl_id, chromosome, start_mb (megabases) and arm.

    Cell-type markers and often mutated genes come first. Up to 2,000 symbols are real (positions rounded to 0.1 Mb);
    the rest are made up (``SIM02000`` ...) and spread over the chromosomes.
    """
    real = _real_genes()
    genes = real.head(n)
    if n > len(real):
        extra = range(len(real), n)
        chromosomes = list(CENTROMERE_MB)
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
    short = genes["start_mb"] < genes["chromosome"].map(CENTROMERE_MB)
    arm = short.map({True: "p", False: "q"}).where(~genes["chromosome"].isin(ACROCENTRIC), "q")
    return genes.assign(arm=genes["chromosome"] + arm).reset_index(drop=True)
