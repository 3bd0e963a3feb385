"""Expression of simulated tumours: mixtures of cell-type profiles with programmes, site effects and noise."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pathgptomic.cohort.simulate.genes import gene_table
from pathgptomic.cohort.simulate.spec import Spec
from pathgptomic.cohort.simulate.world import CELL_TYPES, World
from pathgptomic.seeds import rng

MARKERS = {
    "malignant": "SOX2 OLIG1 PDGFRA EGFR SOX9 GFAP CDK4 TOP2A MKI67 KRT8 KRT18 EPCAM",
    "T cell": "CD3D CD3E CD3G CD2 CD8A CD8B GZMA GZMB NKG7 IL7R CCL5",
    "macrophage": "CD68 CD163 CSF1R LYZ AIF1 C1QA C1QB C1QC FCER1G TYROBP",
    "endothelial": "VWF CDH5 KDR CLDN5 ENG FLT1 EGFL7",
    "fibroblast": "COL1A1 COL1A2 COL3A1 DCN LUM FAP ACTA2 PDGFRB TAGLN",
    "oligodendrocyte": "MBP MOG PLP1 MAG OLIG2",
}
PROGRAMMES = 5  # patterns of variation between tumours that have nothing to do with survival


@dataclass(frozen=True)
class Profiles:
    """Mean expression of each gene (rows of `genes`) in each cell type, transcripts per million; genes x types."""

    genes: pd.DataFrame
    tpm: np.ndarray


def cell_profiles(n_genes: int, seed: int) -> Profiles:
    """Draw the profiles that both the bulk tumours and the single cells of a simulated cohort are made of."""
    genes = gene_table(n_genes)
    generator = rng(seed, "simulate", "profiles")
    log_mean = generator.normal(1.5, 1.8, n_genes)[:, None].repeat(len(CELL_TYPES), axis=1)
    varies = generator.random((n_genes, len(CELL_TYPES))) < 0.10
    log_mean += varies * generator.normal(0.0, 1.2, log_mean.shape)
    for column, cell_type in enumerate(CELL_TYPES):
        rows = genes.index[genes["symbol"].isin(MARKERS[cell_type].split())]
        log_mean[rows] = -1.5
        log_mean[rows, column] = generator.normal(5.0, 0.5, len(rows))
    tpm = np.exp(log_mean)
    return Profiles(genes, 1e6 * tpm / tpm.sum(axis=0))


def bulk_expression(world: World, spec: Spec, seed: int) -> pd.DataFrame:
    """Return the linear expression (TPM, float32) of all patients x symbols."""
    profiles = cell_profiles(spec.genes, seed)
    generator = rng(seed, "simulate", "bulk")
    n, genes = len(world.cells), spec.genes
    loadings = 0.3 * generator.normal(size=(PROGRAMMES, genes)) * (generator.random((PROGRAMMES, genes)) < 0.3)
    log_noise = generator.normal(size=(n, PROGRAMMES)) @ loadings
    sites, site_of = np.unique(world.patients["site"], return_inverse=True)
    log_noise += (spec.batch_effect * 0.5 * generator.normal(size=(len(sites), genes)))[site_of]
    log_noise += 0.2 * generator.normal(size=(n, genes))
    tpm = world.cells.to_numpy() @ profiles.tpm.T * np.exp(log_noise)
    tpm *= 1e6 / tpm.sum(axis=1, keepdims=True)
    return pd.DataFrame(tpm.astype(np.float32), world.cells.index, profiles.genes["symbol"].to_numpy())
