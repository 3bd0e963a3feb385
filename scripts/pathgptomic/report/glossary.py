"""The words of the report that a reader without statistics or machine learning may want explained."""

GLOSSARY = (
    (
        "C-index",
        "Concordance index. Of all pairs of patients of whom it is known who died first, the share in which the "
        "model gave that patient the higher risk. 0.5 is a coin toss, 1 a perfect order. It judges the order of "
        "patients, not percentages.",
    ),
    (
        "Confidence interval (CI)",
        "A range that would hold the true value in, say, 95 of 100 repetitions of the study. Narrow is better; two "
        "overlapping intervals do not by themselves mean that there is no difference.",
    ),
    (
        "SD",
        "Standard deviation: how much single test folds differ from each other. It says how unstable one fold is, "
        "and is not the uncertainty of the mean.",
    ),
    (
        "Fold, test fold",
        "The patients are split several times into a training part, on which models are built, and a test part, on "
        "which they are judged. Each such split is a fold. No test patient has any part in building the model that "
        "predicts it.",
    ),
    (
        "Fitted on, left out, test",
        "The C-index on three kinds of patients: those the model learnt from, training patients kept back while it "
        "learnt, and test patients. A large gap between the first and the last means that patients were learnt by "
        "heart.",
    ),
    (
        "Not distinguishable",
        "The difference is no larger than chance may make it with so many patients. It does not mean that two models "
        "are equal.",
    ),
    (
        "Adjusted p",
        "Probability of so large a difference if there were none, corrected (by Holm's method) for the number of "
        "comparisons made: of the few primary ones, which were named beforehand, or of all the others.",
    ),
    (
        "Hazard ratio",
        "How much faster patients of one group die than those of another at any time: 2 means twice as fast.",
    ),
    (
        "Kaplan-Meier curve",
        "The share of patients still alive at each time, estimated so that patients who were last seen alive count "
        "until then.",
    ),
    (
        "Log-rank test",
        "Asks whether survival differs between groups at all; small p means that it does.",
    ),
    (
        "Calibration",
        "Whether percentages hold: of the patients who are told 70 %, about 70 of 100 should be alive at that time. "
        "The slope is 1 if they hold, under 1 if predictions are too extreme.",
    ),
    (
        "Brier score (IBS), IPA",
        "Average squared distance between predicted and actual survival over the follow-up; 0 is perfect. IPA is the "
        "share by which it improves on a prediction that is the same for everybody.",
    ),
    (
        "Clinical variables alone",
        "A plain Cox regression on what every hospital records (such as age and grade), on the same patients and "
        "folds. A model with genes and slides is worth its cost only where it adds to this.",
    ),
    (
        "Late fusion",
        "Separate models for each kind of data whose risks are averaged. The simplest way to join data, and hard to "
        "beat.",
    ),
    (
        "Branch, balance",
        "A fusion network has one branch for each kind of data. A branch that learns fast can leave the others "
        "behind; balanced training slows it down until they have caught up.",
    ),
    (
        "Elastic net, random forest",
        "Well-tried statistical models that are fitted to the same data as the networks, for comparison.",
    ),
)
