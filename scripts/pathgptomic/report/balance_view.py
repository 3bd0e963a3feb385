"""Training histories of all folds and seeds as one curve a branch and quantity, and what they say about balance.

The claim to check: one branch wins the training while another is left behind, or is learnt by heart. A branch that
ranks its own training patients far better than patients that its network has not seen is out of balance; a balanced
model must show less of that, on the same patients.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from pathgptomic.files import atomic

COLUMNS = ("model", "branch", "epoch", "quantity", "mean", "low", "high", "n")
QUANTILES = (0.1, 0.9)
UNIT = ["fold", "seed"]
WHOLE = ""
LEARNT, UNSEEN = "c_train", "c_inner"


def summarise_balance(*, histories: Mapping[str, str | Path], out: str | Path) -> None:
    """Write `balance.tsv` from the history of every trained model.

    Parameters
    ----------
    histories
        Model -> its history.parquet: fold, seed, inner, epoch, quantity, branch, value.
    out
        The table to write: model, branch, epoch, quantity, mean over folds and seeds, low and high (their 10 % and 90 %
        quantiles), n (how many folds and seeds were still training in that epoch). One that has stopped keeps the value
        of its last epoch.
    """
    tables = [balance_rows(model, pd.read_parquet(path)) for model, path in histories.items()]
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(COLUMNS))
    with atomic(out) as temporary:
        table.to_csv(temporary, sep="\t", index=False, na_rep="NA", float_format="%.6g", lineterminator="\n")


def balance_rows(model: str, history: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of one model in `balance.tsv`.

    Of each fold and seed, a quantity is that of the network fitted on the whole training part; one that only the
    networks of the inner parts have (the C-index of left-out patients) is their mean.
    """
    keys = ["quantity", "branch", "epoch"]
    history = history[np.isfinite(history["value"])].assign(branch=history["branch"].fillna(WHOLE))
    whole = history[history["inner"] == 0]
    others = history[(history["inner"] != 0) & ~history["quantity"].isin(whole["quantity"].unique())]
    single = pd.concat([whole, others]).groupby([*UNIT, *keys])["value"].mean()
    curves = single.unstack("epoch")  # rows: fit, quantity, branch
    kept = curves.ffill(axis="columns")  # without it, a fit that stops would move the mean of the others
    grouped = kept.stack().groupby(keys)
    quantiles = grouped.quantile(list(QUANTILES)).unstack()
    training = curves.stack().groupby(keys).size()
    table = pd.DataFrame(
        {"mean": grouped.mean(), "low": quantiles[QUANTILES[0]], "high": quantiles[QUANTILES[1]], "n": training}
    )
    table = table.reset_index().assign(model=model)[list(COLUMNS)]
    return table.sort_values(["quantity", "branch", "epoch"], ignore_index=True)
