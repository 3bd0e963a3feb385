"""Single cells of a simulated cohort, drawn from the same cell-type profiles as its bulk tumours."""

import numpy as np
import pandas as pd
import scipy.sparse as sp

from pathgptomic.cohort.simulate.expression import cell_profiles
from pathgptomic.cohort.simulate.spec import Spec
from pathgptomic.cohort.simulate.world import CELL_TYPES
from pathgptomic.files import atomic
from pathgptomic.seeds import rng

DEPTH = 4000.0  # counts of a typical cell
DONOR_EFFECT = 0.2  # standard deviation of a gene's logarithm between donors
DISPERSION = 0.5  # of the negative binomial: variance = mean + DISPERSION * mean^2


def simulate_cells(*, settings: dict, seed: int, donors: int, cells: int, path: str) -> None:
    """Write labelled single cells with known types and donors.

    Parameters
    ----------
    settings
        The `simulate` section of the cohort file.
    seed
        Seed of the run, the same that the cohort was simulated with.
    donors
        Number of donors.
    cells
        Cells of each type from each donor.
    path
        AnnData file to write: raw counts (CSR float32); obs: cell_type, donor_id.
    """
    import anndata

    profiles = cell_profiles(Spec.from_dict(settings).genes, seed)
    blocks, rows = [], []
    for donor in range(donors):
        generator = rng(seed, "simulate", "single cells", donor)
        shift = np.exp(DONOR_EFFECT * generator.normal(size=len(profiles.genes)))
        for column, cell_type in enumerate(CELL_TYPES):
            share = profiles.tpm[:, column] * shift
            depth = DEPTH * generator.lognormal(0, 0.4, cells)
            mean = depth[:, None] * share / share.sum()
            # a gamma mixture of Poisson counts is the negative binomial of droplet data
            counts = generator.poisson(mean * generator.gamma(1 / DISPERSION, DISPERSION, mean.shape))
            blocks.append(sp.csr_matrix(counts.astype(np.float32)))
            stem = f"donor{donor}_{cell_type.replace(' ', '_')}"
            rows += [(f"{stem}_{number}", cell_type, f"donor{donor}") for number in range(cells)]
    obs = pd.DataFrame(rows, columns=["cell", "cell_type", "donor_id"]).set_index("cell")
    var = pd.DataFrame(index=pd.Index(profiles.genes["symbol"].astype(str).to_numpy(), name="symbol"))
    with atomic(path) as temporary:
        anndata.AnnData(sp.vstack(blocks, format="csr"), obs, var).write_h5ad(temporary)
