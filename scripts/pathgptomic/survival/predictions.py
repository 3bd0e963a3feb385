"""``predictions.tsv``: what every model and every baseline says of every patient, one row a fold, seed and role."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from pathgptomic.files import atomic

COLUMNS = ("fold", "seed", "patient_id", "role", "log_hazard")
# train: by the network that was fitted on the patient; inner: by networks of the same fold that were not; test
ROLES = ("train", "inner", "test")


def write_predictions(path: str | Path, table: pd.DataFrame) -> None:
    """Write `table` sorted; one row for each fold, seed, role and patient.

    Raises
    ------
    ValueError
        If a log-hazard is not finite.
    """
    finite = np.isfinite(table["log_hazard"].to_numpy(float))
    if not finite.all():
        row = table[~finite].iloc[0]
        raise ValueError(
            f"the log-hazard of {row['patient_id']} ({row['role']}, fold {row['fold']}, seed {row['seed']}) is "
            f"{row['log_hazard']}: training diverged, lower the learning rate or raise the penalty"
        )
    rank = table["role"].map({role: place for place, role in enumerate(ROLES)})
    order = table.assign(rank=rank).sort_values(["fold", "seed", "rank", "patient_id"]).index
    with atomic(path) as temporary:
        table.loc[order, list(COLUMNS)].to_csv(
            temporary, sep="\t", index=False, float_format="%.9g", lineterminator="\n"
        )


def read_predictions(path: str | Path) -> pd.DataFrame:
    """Read ``predictions.tsv``."""
    table = pd.read_csv(path, sep="\t", dtype={"patient_id": str}, keep_default_na=False)
    lacking = [name for name in COLUMNS if name not in table]
    if lacking:
        raise ValueError(f"{path} has no column {lacking[0]!r}: it needs {', '.join(COLUMNS)}")
    return table[list(COLUMNS)]
