"""How well an adapter knows what a profile is made of: cell-type fractions of donors and of mixtures it never saw."""

import logging

import numpy as np
import pandas as pd

from pathgptomic.files import atomic
from pathgptomic.genomics.adapter import SUPERVISED, Adapter, load_adapter
from pathgptomic.genomics.train import Labelled, read_labelled
from pathgptomic.seeds import rng

logger = logging.getLogger(__name__)

PENALTIES = 10.0 ** np.arange(-4, 5)
REPLICATES = 1000  # of the bootstrap over mixtures


def evaluate_adapter(*, adapter: str, folder: str, mixtures: str, embeddings: str, seed: int, evaluation: str) -> None:
    """Compare an adapter's fractions on held-out donors with those of a linear probe on the frozen embedding.

    Three read-outs are judged on the test donors' profiles of every form: ``own``, the adapter's linear layer
    (supervised methods only); ``probe``, a ridge regression on the adapted embedding; ``raw-probe``, the same on the
    frozen embedding, which is what the adapter has to beat. Both probes are fitted on the training donors' two-cell
    mixtures (or on the first form there is), their penalty chosen on the validation donors.

    Parameters
    ----------
    adapter
        Name of the adapter, for the table.
    folder
        What :func:`pathgptomic.genomics.train.train_adapter` wrote.
    mixtures, embeddings
        Labelled profiles and their frozen embeddings.
    seed
        Seed of the bootstrap.
    evaluation
        Table to write: adapter, readout, trained_on, form, n, rmse, pearson, ccc (the last two are means over types),
        delta (rmse less that of the raw probe) with its 95 % bootstrap interval delta_low, delta_high.
    """
    model, facts = load_adapter(folder)
    data = read_labelled(mixtures, embeddings)
    forms = list(dict.fromkeys(data.table["form"]))
    fitted_on = "pairs" if "pairs" in forms else forms[0]
    raw = _probe(data, fitted_on, lambda x: x.numpy())
    readouts = {"raw-probe": (raw, fitted_on), "probe": (_probe(data, fitted_on, _embedding(model)), fitted_on)}
    if model.settings.method in SUPERVISED:
        readouts["own"] = (lambda x: model.fractions(x).numpy(), facts["form"])
    rows = []
    for form in forms:
        x, y = data.take(form, "test")
        truth, base = y.numpy(), raw(x)
        for name, (predict, trained_on) in readouts.items():
            predicted = predict(x)
            delta = _delta(predicted, base, truth, rng(seed, "bootstrap of mixtures", form))
            rows.append([adapter, name, trained_on, form, len(truth), *_scores(predicted, truth), *delta])
    columns = ["adapter", "readout", "trained_on", "form", "n", "rmse", "pearson", "ccc"]
    table = pd.DataFrame(rows, columns=[*columns, "delta", "delta_low", "delta_high"])
    _say(table)
    with atomic(evaluation) as temporary:
        table.to_csv(temporary, sep="\t", index=False, float_format="%.6g")


def _embedding(model: Adapter):
    return lambda x: model.embed(x).numpy()


def _probe(data: Labelled, form: str, features):
    """Return a ridge regression from features of the frozen embedding to fractions, penalty chosen on validation."""
    (x, y), (held_x, held_y) = data.take(form, "train"), data.take(form, "validation")
    x, y, held_x, held_y = features(x), y.numpy(), features(held_x), held_y.numpy()
    mean, scale, centre = x.mean(axis=0), x.std(axis=0) + 1e-8, y.mean(axis=0)
    left, singular, right = np.linalg.svd((x - mean) / scale, full_matrices=False)
    weights = []
    for penalty in PENALTIES:
        shrink = singular / (singular**2 + penalty * len(x))
        weights.append(right.T @ (shrink[:, None] * (left.T @ (y - centre))))
    errors = [np.square((held_x - mean) / scale @ weight + centre - held_y).mean() for weight in weights]
    best = weights[int(np.argmin(errors))]
    return lambda new: (features(new) - mean) / scale @ best + centre


def _scores(predicted: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """Return the root mean squared error, and Pearson's and Lin's concordance correlation averaged over types."""
    pearson, concordance = [], []
    for p, t in zip(predicted.T.astype(float), truth.T.astype(float), strict=True):
        if t.std() == 0:
            continue  # a type that no test donor has
        covariance = np.mean((p - p.mean()) * (t - t.mean()))
        pearson.append(covariance / (p.std() * t.std()) if p.std() > 0 else 0.0)
        concordance.append(2 * covariance / (p.var() + t.var() + (p.mean() - t.mean()) ** 2))
    return float(np.sqrt(np.mean((predicted - truth) ** 2))), float(np.mean(pearson)), float(np.mean(concordance))


def _delta(
    predicted: np.ndarray, base: np.ndarray, truth: np.ndarray, generator: np.random.Generator
) -> tuple[float, float, float]:
    """Return the difference of two root mean squared errors with its paired bootstrap interval over mixtures."""
    ours = np.square(predicted - truth).mean(axis=1)
    theirs = np.square(base - truth).mean(axis=1)
    drawn = generator.integers(len(truth), size=(REPLICATES, len(truth)))
    replicates = np.sqrt(ours[drawn].mean(axis=1)) - np.sqrt(theirs[drawn].mean(axis=1))
    low, high = np.quantile(replicates, [0.025, 0.975])
    return float(np.sqrt(ours.mean()) - np.sqrt(theirs.mean())), float(low), float(high)


def _say(table: pd.DataFrame) -> None:
    """Log whether the adapter beats the linear probe on the frozen embedding, form by form."""
    best = table[table["readout"] == ("own" if "own" in set(table["readout"]) else "probe")]
    for row in best.itertuples():
        verdict = "under" if row.delta_high < 0 else "over" if row.delta_low > 0 else "not distinguishable from"
        logger.info(
            "%s on %s of held-out donors: fraction error %.4f, %s that of a linear probe on the frozen embedding "
            "(difference %.4f, 95 %% interval %.4f to %.4f)",
            row.adapter,
            row.form,
            row.rmse,
            verdict,
            row.delta,
            row.delta_low,
            row.delta_high,
        )
