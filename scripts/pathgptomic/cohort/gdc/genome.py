"""Chromosome arms of the two genome builds that public data come in."""

import numpy as np
import pandas as pd

AUTOSOMES = tuple(str(number) for number in range(1, 23))
CHROMOSOMES = (*AUTOSOMES, "X")
# Boundary of the short and the long arm in megabases (cytogenetic bands p11.1 and q11.1 of the UCSC tables)
CENTROMERES_MB = {
    "hg38": (
        123.4, 93.9, 90.9, 50.0, 48.8, 59.8, 60.1, 45.2, 43.0, 39.8, 53.4, 35.5,
        17.7, 17.2, 19.0, 36.8, 25.1, 18.5, 26.2, 28.1, 12.0, 15.0, 61.0,
    ),
    "hg19": (
        125.0, 93.3, 91.0, 50.4, 48.4, 61.0, 59.9, 45.6, 49.0, 40.2, 53.7, 35.8,
        17.9, 17.6, 19.0, 36.6, 24.0, 17.2, 26.5, 27.5, 13.2, 14.7, 60.6,
    ),
}  # fmt: skip
ACROCENTRIC = ("13", "14", "15", "21", "22")  # their short arms hold no gene that is measured
ARMS = tuple(f"{c}{arm}" for c in AUTOSOMES for arm in ("q" if c in ACROCENTRIC else "pq"))


def centromeres(genome: str) -> dict[str, float]:
    """Return the boundary of the arms of each chromosome in bases."""
    return {c: 1e6 * mb for c, mb in zip(CHROMOSOMES, CENTROMERES_MB[genome], strict=True)}


def plain_chromosome(names: pd.Series) -> pd.Series:
    """Return chromosome names without ``chr``, and 23 as X."""
    return names.astype(str).str.removeprefix("chr").replace({"23": "X", "24": "Y"})


def arm_of(chromosome: pd.Series, position: pd.Series, genome: str = "hg38") -> pd.Series:
    """Return the autosomal arm (``7p``) of each position, missing elsewhere.

    Parameters
    ----------
    chromosome, position
        (n,) names as `plain_chromosome` makes them, and bases from 1.
    genome
        ``hg38`` or ``hg19``.
    """
    boundary = chromosome.map(centromeres(genome)).astype(float)
    short = (position.astype(float) < boundary) & ~chromosome.isin(ACROCENTRIC)
    arms = chromosome + pd.Series(np.where(short, "p", "q"), chromosome.index)
    return arms.where(chromosome.isin(AUTOSOMES))
