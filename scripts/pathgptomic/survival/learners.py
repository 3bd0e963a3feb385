"""The classical models that a fusion network has to beat, each fitted on one outer fold.

A learner returns the log-hazards of training patients (in-sample), of the same patients by fits that left them out, and
of test patients. Scalers, encoders, penalties: all come from the rows that a fit may see.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pathgptomic.seeds import derive
from pathgptomic.survival.inputs import CohortInputs, Fold
from pathgptomic.survival.preprocess import CovariateEncoder, FeatureScaler
from pathgptomic.survival.ridge_cox import log_likelihood, ridge_cox

logger = logging.getLogger(__name__)

# lifelines' penalizer 0.01: its loss is a mean over patients, so the penalty on the sum grows with their number
CLINICAL_PENALTY = 0.01
ALPHAS = 30
SMALLEST_ALPHA = 0.05  # as a share of the largest, at which all coefficients are 0
L1_RATIO = 0.5
# Prior variance of the log-hazard that a whole omics block explains. The best of nine settings by the cross-fitted loss
# of the inner parts, summed over TCGA glioma and KIRC; 0.03 to 0.6 differ by less than 0.01 in C.
BLOCK_VARIANCE = {"expression": 0.25, "cnv": 0.03, "mutations": 0.03}
TREES = 200
# Among thousands of features a forest seldom meets the few covariates that matter: of 5 to 40 components, 5 gave the
# best out-of-bag C in both cohorts.
COMPONENTS = 5
PCA_COUNTS = (2, 4, 8, 16, 32)  # of which the inner parts choose one
TIME_BINS = 40  # the log-rank splits of a forest cost as many operations as there are distinct times


@dataclass(frozen=True)
class Scores:
    """Log-hazards of a fold's training patients, [n_train] twice, and of its test patients, [n_test]."""

    train: np.ndarray
    inner: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Problem:
    """One fold of one cohort, for one baseline."""

    inputs: CohortInputs
    fold: Fold
    modalities: Sequence[str]
    seed: int

    def fitted(self, rows: np.ndarray) -> np.ndarray:
        """Return those of `rows` that have every modality; the others are predicted from training medians."""
        return rows[np.logical_and.reduce([self.inputs.present(name)[rows] for name in self.modalities])]

    def clinical(self, rows: np.ndarray, *, smooth: bool) -> np.ndarray:
        """Return all patients' covariates, encoded on `rows`; `smooth` bends numeric ones by a spline."""
        spec = self.inputs.covariates
        bent = [name for name, kind in spec.items() if kind == "numeric"] if smooth else []
        encoder = CovariateEncoder.fit(self.inputs.patients.iloc[rows], spec, smooth=bent)
        return encoder.transform(self.inputs.patients).astype(float)

    def features(self, modality: str, rows: np.ndarray) -> np.ndarray:
        """Return all patients' features of one table, scaled on `rows`."""
        table = self.inputs.features[modality]
        scaler = FeatureScaler.fit(table.iloc[rows], log=modality in self.inputs.linear)
        return scaler.transform(table).astype(float)

    def components(self, modality: str, rows: np.ndarray, count: int) -> np.ndarray:
        """Return all patients' first `count` principal components of one table; the components are those of `rows`."""
        x = self.features(modality, rows)
        x = x - x[rows].mean(axis=0)
        value, vector = np.linalg.eigh(x[rows] @ x[rows].T)  # in the space of patients, of whom there are fewer
        first = [place for place in range(len(value) - 1, -1, -1) if value[place] > 1e-8 * value[-1]][:count]
        vector = vector[:, first] / np.sqrt(value[first])
        vector = vector * np.sign(vector[np.abs(vector).argmax(axis=0), range(len(first))])  # the sign is arbitrary
        return x @ (x[rows].T @ vector)

    def outcome(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return time and event of `rows`."""
        return self.inputs.time_days[rows], self.inputs.event[rows]


def cross_fit(problem: Problem, fit: Callable[[np.ndarray], np.ndarray]) -> Scores:
    """Return the scores of a model, where ``fit(rows)`` fits it on `rows` and returns the log-hazards of everybody."""
    fold = problem.fold
    everybody = fit(problem.fitted(fold.train))
    inner = np.empty(len(fold.train))
    for part, rows, left_out in list(fold.networks())[1:]:
        inner[fold.inner == part] = fit(problem.fitted(rows))[left_out]
    return Scores(everybody[fold.train], inner, everybody[fold.test])


def clinical_cox(problem: Problem, *, smooth: bool = False) -> Scores:
    """Cox regression on the covariates with lifelines' small ridge penalty."""

    def fit(rows: np.ndarray) -> np.ndarray:
        x = problem.clinical(rows, smooth=smooth)
        return x @ ridge_cox(x[rows], *problem.outcome(rows), CLINICAL_PENALTY * len(rows))

    return cross_fit(problem, fit)


def block_cox(problem: Problem) -> Scores:
    """Ridge Cox with a prior variance for each block: small fixed ones for omics, nearly none for covariates.

    A block's variance is shared by its features, so a table of 1,500 genes weighs no more than one of 16 mutations.
    Solved in the space of patients, since there are fewer of them than features.
    """

    def fit(rows: np.ndarray) -> np.ndarray:
        kernel = np.zeros((len(problem.inputs.patients), len(rows)))
        for modality in problem.modalities:
            if modality == "clinical":
                x = problem.clinical(rows, smooth=True)
                variance = 1 / (CLINICAL_PENALTY * len(rows))
            else:
                x = problem.features(modality, rows)
                variance = BLOCK_VARIANCE[modality] / max(x.shape[1], 1)
            kernel += variance * (x @ x[rows].T)
        value, vector = np.linalg.eigh(kernel[rows])
        kept = value > 1e-8 * value[-1]
        axes = vector[:, kept] / np.sqrt(value[kept])
        z = kernel @ axes  # [patients, rank]: ridge with unit variance on these columns is the model
        return z @ ridge_cox(z[rows], *problem.outcome(rows), 1.0)

    return cross_fit(problem, fit)


def elastic_net(problem: Problem) -> Scores:
    """Elastic-net Cox on the concatenated tables, penalty by cross-validated partial likelihood on the inner parts.

    One inner cross-validation serves twice: it chooses alpha and gives the left-out log-hazards, which are therefore
    optimistic by the choice of one number.

    References
    ----------
    Simon et al., J. Stat. Softw. 39 (2011) 5. Verweij and van Houwelingen, Stat. Med. 12 (1993) 2305.
    """
    fitted = problem.fitted(problem.fold.train)

    def path(rows: np.ndarray, alphas: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        x = np.concatenate([problem.features(name, rows) for name in problem.modalities], axis=1)
        coefficients, used = _path(x[rows], *problem.outcome(rows), alphas)
        return x @ coefficients, used  # [patients, alphas]

    everybody, alphas = path(fitted, None)

    def fit(rows: np.ndarray) -> np.ndarray:
        left, used = path(rows, alphas)
        return np.pad(left, ((0, 0), (0, len(alphas) - len(used))), constant_values=np.nan)

    return choose_option(problem, everybody, fit, [f"alpha {alpha:.4g}" for alpha in alphas])


def pca_cox(problem: Problem) -> Scores:
    """Cox regression on principal components of one table, their number by cross-validated partial likelihood.

    What an embedding of the same table has to beat. The components are standardised and lightly penalised.
    """
    (modality,) = problem.modalities

    def fit(rows: np.ndarray) -> np.ndarray:
        z = problem.components(modality, rows, max(PCA_COUNTS))
        z = z / z[rows].std(axis=0)
        penalty = CLINICAL_PENALTY * len(rows)
        columns = [
            z[:, :count] @ ridge_cox(z[rows][:, :count], *problem.outcome(rows), penalty) for count in PCA_COUNTS
        ]
        return np.stack(columns, axis=1)  # [patients, counts]

    everybody = fit(problem.fitted(problem.fold.train))
    return choose_option(problem, everybody, fit, [f"{count} components" for count in PCA_COUNTS])


def choose_option(
    problem: Problem, everybody: np.ndarray, fit: Callable[[np.ndarray], np.ndarray], options: Sequence[str]
) -> Scores:
    """Return the scores of the option with the best cross-validated partial likelihood on the inner parts.

    Parameters
    ----------
    everybody
        Log-hazards of all patients by each option, fitted on the training part, [patients, options].
    fit
        ``fit(rows)`` returns the same of fits on `rows`; NaN where an option has no fit.
    options
        Their names, for the log.
    """
    fold, fitted = problem.fold, problem.fitted(problem.fold.train)
    inner = np.zeros((len(fold.train), len(options)))
    likelihood = np.zeros(len(options))
    for part, rows, left_out in list(fold.networks())[1:]:
        left = fit(problem.fitted(rows))
        inner[fold.inner == part] = left[left_out]
        reached = np.isfinite(left).all(axis=0)
        likelihood[~reached] = -np.inf
        for sign, who in ((1, fitted), (-1, problem.fitted(rows))):
            likelihood[reached] += sign * log_likelihood(left[who][:, reached], *problem.outcome(who))
    best = int(np.argmax(likelihood))
    logger.info("fold %d: %s, number %d of %d", fold.number, options[best], best + 1, len(options))
    return Scores(everybody[fold.train, best], inner[:, best], everybody[fold.test, best])


def random_survival_forest(problem: Problem) -> Scores:
    """Random survival forest on covariates and principal components; left-out log-hazards are the out-of-bag ones.

    Trees have not seen the outcome of their out-of-bag patients; scales and components, which no outcome enters, are
    those of all training patients.

    References
    ----------
    Ishwaran et al., Ann. Appl. Stat. 2 (2008) 841.
    """
    from sksurv.ensemble import RandomSurvivalForest
    from sksurv.util import Surv

    fold, rows = problem.fold, problem.fitted(problem.fold.train)
    blocks = [
        problem.clinical(rows, smooth=False) if name == "clinical" else problem.components(name, rows, COMPONENTS)
        for name in problem.modalities
    ]
    x = np.concatenate(blocks, axis=1).astype(np.float32)
    time, event = problem.outcome(rows)
    edges = np.unique(np.quantile(time[event], np.linspace(0, 1, TIME_BINS + 1)))
    forest = RandomSurvivalForest(
        n_estimators=TREES,
        min_samples_leaf=10,
        max_features="sqrt",
        oob_score=True,
        low_memory=True,
        n_jobs=1,
        random_state=derive(problem.seed, "forest", fold.number) % 2**32,
    )
    forest.fit(x[rows], Surv.from_arrays(event, np.searchsorted(edges, time) + 1.0))
    everybody = _log(forest.predict(x))
    inner = everybody[fold.train].copy()
    inner[np.isin(fold.train, rows)] = _log(forest.oob_prediction_)
    return Scores(everybody[fold.train], inner, everybody[fold.test])


LEARNERS: dict[str, Callable[[Problem], Scores]] = {
    "clinical-cox": clinical_cox,
    "clinical-spline-cox": functools.partial(clinical_cox, smooth=True),
    "elastic-net-expression": elastic_net,
    "elastic-net-cnv": elastic_net,
    "elastic-net-mutations": elastic_net,
    "elastic-net-omics": elastic_net,
    "pca-cox-expression": pca_cox,
    "block-cox": block_cox,
    "random-survival-forest": random_survival_forest,
}


def _path(
    x: np.ndarray, time: np.ndarray, event: np.ndarray, alphas: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients [p, alphas] and the alphas; shorter than asked for where the smallest do not converge."""
    import warnings

    from sksurv.linear_model import CoxnetSurvivalAnalysis
    from sksurv.util import Surv

    options = {"n_alphas": ALPHAS, "alpha_min_ratio": SMALLEST_ALPHA} if alphas is None else {"alphas": alphas}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # all coefficients are 0 at the first alpha, by design
        model = CoxnetSurvivalAnalysis(l1_ratio=L1_RATIO, tol=1e-5, max_iter=10_000, **options)
        model.fit(x, Surv.from_arrays(event, time))
    return model.coef_, model.alphas_


def _log(risk: np.ndarray) -> np.ndarray:
    """Return the logarithm of an expected number of deaths."""
    return np.log(np.maximum(risk, 1e-6))
