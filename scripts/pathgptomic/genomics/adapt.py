"""Apply an adapter to the bulk samples of a cohort, and measure how far they lie from the mixtures before and after."""

import logging

import numpy as np
import pandas as pd
import torch

from pathgptomic.files import atomic
from pathgptomic.genomics.adapter import load_adapter
from pathgptomic.genomics.train import read_labelled
from pathgptomic.seeds import rng

logger = logging.getLogger(__name__)

MOST = 500  # profiles of a side that a distance is measured on


def adapt_bulk(*, embeddings: str, folder: str, adapted: str) -> None:
    """Write the adapted embeddings of a cohort.

    Parameters
    ----------
    embeddings
        Frozen embeddings, patients x width.
    folder
        The adapter; empty for the frozen embeddings as they are.
    adapted
        Table to write: index patient_id, one column a dimension, float32.
    """
    table = pd.read_parquet(embeddings)
    if folder:
        adapter, _ = load_adapter(folder)
        if len(adapter.mean) != table.shape[1]:
            raise ValueError(
                f"the adapter {folder} takes embeddings of width {len(adapter.mean)}, but {embeddings} has "
                f"{table.shape[1]}; both have to come from one checkpoint."
            )
        vectors = adapter.embed(torch.from_numpy(table.to_numpy(dtype=np.float32))).numpy()
        table = pd.DataFrame(vectors, index=table.index)
    table.columns = [f"dimension_{number:03d}" for number in range(table.shape[1])]
    with atomic(adapted) as temporary:
        table.to_parquet(temporary)


def measure_domain(
    *, adapter: str, folder: str, bulk: str, mixtures: str, embeddings: str, seed: int, domain: str
) -> None:
    """Measure how far a cohort's bulk samples lie from the profiles an adapter was trained on, before and after it.

    Parameters
    ----------
    adapter, folder
        Name and folder of the adapter.
    bulk
        Frozen embeddings of the cohort.
    mixtures, embeddings
        Labelled profiles and their frozen embeddings.
    seed
        Seed of the choice of profiles and folds.
    domain
        Table to write: adapter, space (frozen, adapted), form, n_bulk, n_mixtures, mmd (squared maximum mean
        discrepancy, 0 where the two are alike), auc (of a classifier that tells the two apart; 0.5 where it cannot).
    """
    model, _ = load_adapter(folder)
    data = read_labelled(mixtures, embeddings)
    patients = _some(torch.from_numpy(pd.read_parquet(bulk).to_numpy(dtype=np.float32)), seed, "bulk")
    rows = []
    for form in dict.fromkeys(data.table["form"]):
        profiles = _some(data.take(form, "train")[0], seed, form)
        for space, move in (("frozen", lambda x: x), ("adapted", model.embed)):
            left, right = move(patients).numpy().astype(float), move(profiles).numpy().astype(float)
            pooled = np.concatenate([left, right])
            mean, scale = pooled.mean(axis=0), pooled.std(axis=0) + 1e-12
            left, right = (left - mean) / scale, (right - mean) / scale
            distance = [mean_discrepancy(left, right), separability(left, right, seed)]
            rows.append([adapter, space, form, len(left), len(right), *distance])
    table = pd.DataFrame(rows, columns=["adapter", "space", "form", "n_bulk", "n_mixtures", "mmd", "auc"])
    with atomic(domain) as temporary:
        table.to_csv(temporary, sep="\t", index=False, float_format="%.6g")


def mean_discrepancy(left: np.ndarray, right: np.ndarray) -> float:
    """Return the unbiased squared maximum mean discrepancy with a Gaussian kernel (Gretton et al., JMLR 2012).

    Parameters
    ----------
    left, right
        Samples (n, width) and (m, width); the kernel's width is the median distance of all pairs.
    """
    pooled = np.concatenate([left, right])
    square = np.square(pooled).sum(axis=1)
    distance = np.maximum(square[:, None] + square[None] - 2 * pooled @ pooled.T, 0)
    median = np.median(distance[np.triu_indices(len(pooled), k=1)])
    kernel = np.exp(-distance / max(median, 1e-12))
    np.fill_diagonal(kernel, 0)
    n, m = len(left), len(right)
    within = kernel[:n, :n].sum() / (n * (n - 1)) + kernel[n:, n:].sum() / (m * (m - 1))
    return float(within - 2 * kernel[:n, n:].mean())


def separability(left: np.ndarray, right: np.ndarray, seed: int) -> float:
    """Return the cross-validated AUC of a logistic regression that tells two samples apart."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    x, y = np.concatenate([left, right]), np.repeat([0, 1], [len(left), len(right)])
    folds = StratifiedKFold(5, shuffle=True, random_state=int(rng(seed, "folds of the domain").integers(2**31)))
    model = LogisticRegression(C=0.01, class_weight="balanced", max_iter=500)
    return float(roc_auc_score(y, cross_val_predict(model, x, y, cv=folds, method="decision_function")))


def _some(x: torch.Tensor, seed: int, purpose: str) -> torch.Tensor:
    if len(x) <= MOST:
        return x
    return x[np.sort(rng(seed, "profiles of the domain", purpose).choice(len(x), MOST, replace=False))]
