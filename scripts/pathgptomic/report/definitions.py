"""What every number of the evaluation means, in sentences that the report prints beside them."""

from __future__ import annotations

from pathgptomic.report.predictions import Cohort
from pathgptomic.report.scores import LEAST_TEST_PART
from pathgptomic.report.settings import EvaluationSettings


def definitions(settings: EvaluationSettings, cohort: Cohort) -> dict[str, str]:
    """Return a sentence or two for each metric, interval and test, with the settings of this run."""
    level = f"{100 * (1 - settings.alpha):g} %"
    splits = "a partition into folds" if cohort.is_partition() else "splits whose test parts overlap"
    small = cohort.test.sum(axis=1).min() < LEAST_TEST_PART
    among = "among the cross-fitted risks of the training part" if small else "within the test part"
    return {
        "seed": "Log-hazards are averaged over the seeds before any metric; single seeds are listed beside the mean.",
        "pooled": f"Each tested patient once: the percentile of the log-hazard {among}, averaged over the folds in "
        "which the patient was tested; predicted survival is averaged in the same way.",
        "survival": "Predicted survival of every model: one-covariate Cox slope and Breslow baseline, fitted on the "
        "cross-fitted risks of the training part and applied to the test part.",
        "harrell_c": "Harrell's C-index (lifelines): share of comparable pairs of patients in which the one who died "
        "earlier had the higher predicted risk; equal risks count a half.",
        "harrell_c_within": "Harrell's C-index over pairs of patients of the same level of the column only.",
        "harrell_c_permuted": f"Harrell's C-index after shuffling the outcomes within the test part, mean of "
        f"{settings.permutations} shuffles; _low and _high bound {level} of them.",
        "uno_c": f"Uno's C-index (scikit-survival) up to tau, the {100 * settings.follow_up_quantile:g} % quantile of "
        "the follow-up times in the training part, weighted by the training part's follow-up.",
        "auc": "Cumulative/dynamic time-dependent AUC up to tau (scikit-survival), averaged over time with weights by "
        "the fall of the Kaplan-Meier curve of the test part; this is not the plain mean.",
        "ibs": "Integrated Brier score from the first death to tau (scikit-survival); 0 is perfect.",
        "ipa": "Index of prediction accuracy: 1 minus the integrated Brier score divided by that of the Kaplan-Meier "
        "curve of the training part, which knows nothing of the patient; above 0 is better than knowing nothing.",
        "dcal_p": f"p-value of D-calibration with {settings.d_calibration_bins} bins; small means that predicted "
        "survival probabilities are off.",
        "calibration_slope": "Cox slope of the recalibrated log-hazard in the test part; 1 is right, under 1 means "
        "predictions too extreme.",
        "optimism": "Harrell's C-index on the rows that the model was fitted on minus that on the test part.",
        "ci_folds": f"{level} interval of a mean over folds: corrected resampled t of Nadeau and Bengio with "
        f"n_test/n_train = {cohort.ratio():.3f}, {len(cohort.folds)} folds, {splits}; the same correction is used for "
        "partitions.",
        "ci_bootstrap": f"{level} percentile interval over {settings.bootstrap} resamples of the pooled patients, "
        "models as fitted.",
        "nadeau-bengio": "Paired corrected resampled t-test over the folds.",
        "bootstrap": f"Paired difference on the pooled patients, normal approximation with the standard error of "
        f"{settings.bootstrap} resamples of the same patients for both models, models as fitted.",
        "p_adjusted": "Holm's adjustment, per metric and test, over two families: the primary comparisons (the first "
        "model against the references, its version with clinical variables against these alone), and all other "
        "comparisons of a model with a baseline or reference, which are exploratory.",
        "minimum_detectable": f"Smallest true difference that the comparison finds with {100 * settings.power:g} % "
        f"power at level {settings.alpha:g} before adjustment.",
        "risk_groups": "Groups by the mean training percentile of a patient, cut at "
        f"{', '.join(f'{100 * q:.4g} %' for q in sorted(settings.risk_group_quantiles))}; percentiles refer to the "
        "cross-fitted risks of the training part, so that no test patient moves a cut-off.",
    }
