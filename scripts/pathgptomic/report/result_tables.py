"""The tables of results: gain over clinical variables, risk groups, every number of every model, comparisons."""

from collections.abc import Mapping
from typing import Any

from pathgptomic.report.grids import (
    Cell,
    Column,
    Grid,
    Row,
    difference,
    judgement,
    probability,
    value,
    whole,
    words,
)
from pathgptomic.report.study import FOLDS, PATIENTS, POOLED, Study
from pathgptomic.report.wording import DASH, DAYS_PER_YEAR, count, interval, listed, missing, number

NOTHING = Cell(DASH)


def gain_grid(study: Study) -> Grid:
    """Return each model without and with clinical variables, its gain over them alone, and over late fusion."""
    partners = {facts["with_clinical"] for facts in study.catalogue.values()} - {""}
    rows = []
    for model, facts in study.catalogue.items():
        alone = "clinical" not in facts["branches"]
        if model in partners or facts["kind"] == "baseline" or model == study.reference("clinical"):
            continue
        rows.append(_gain_row(study, model if alone else "", facts["with_clinical"] if alone else model))
    columns = [
        Column("Model", numeric=False),
        Column("C without clinical", help="mean C-index over the test folds, without clinical variables"),
        Column("C with clinical", help="the same model with clinical variables as a further branch"),
        Column("Gain over clinical alone", help="the better equipped of the two against clinical variables alone"),
        Column("Verdict (adj.\u00a0p)", numeric=False),
        Column("Against late fusion", help="the better equipped of the two against late fusion"),
        Column("Verdict (adj.\u00a0p)", numeric=False),
    ]
    clinical = study.reference("clinical")
    alone = f" Clinical variables alone: {number(study.summary.loc[clinical, 'c_mean'])}." if clinical else ""
    note = (
        f"Differences in mean C-index with {study.level} interval (corrected resampled t-test over the folds, "
        f"Holm-adjusted), of the version with clinical variables where there is one.{alone}"
    )
    return Grid("Without and with the clinical variables", columns, rows, note, sortable=True, stacked=True)


def _gain_row(study: Study, without: str, with_clinical: str) -> Row:
    best = with_clinical or without
    cells = [
        words(study.name(without or with_clinical)),
        value(study.summary.loc[without, "c_mean"]) if without else NOTHING,
        value(study.summary.loc[with_clinical, "c_mean"]) if with_clinical else NOTHING,
    ]
    for key in ("clinical", "late_fusion"):
        row = study.summary.loc[best]
        cells += [
            difference(row.get(f"delta_{key}"), row.get(f"delta_{key}_low"), row.get(f"delta_{key}_high")),
            judgement(row.get(f"delta_{key}_verdict"), row.get(f"delta_{key}_p_adjusted")),
        ]
    return Row(cells, tone="main" if study.headline in (without, with_clinical) else "")


def risk_group_grid(study: Study, models: list[str]) -> Grid:
    """Return the risk groups of `models`: size, deaths, median survival, hazard ratio, log-rank p."""
    table = study.risk_groups
    table = table[(table["fold"] == POOLED) & table["model"].isin(models)]
    rows = [
        _risk_group_row(study, row) for model in models for row in table[table["model"] == model].to_dict("records")
    ]
    columns = [
        Column("Model", numeric=False),
        Column("Risk group", numeric=False),
        Column("Patients"),
        Column("Deaths"),
        Column("Median survival, years"),
        Column(f"Hazard ratio ({study.level} CI)", help="against the group of lowest risk"),
        Column("Log-rank p", help="over all groups of the model"),
    ]
    return Grid("Risk groups with cut-offs frozen on training patients", columns, rows)


def _risk_group_row(study: Study, row: Mapping[str, Any]) -> Row:
    median = row["median_days"] / DAYS_PER_YEAR
    ratio = Cell("1 (reference)") if row["group"] == 1 else value(row["hazard_ratio"], 2)
    if row["group"] != 1 and not missing(row["ci_low"]):
        ratio = value(row["hazard_ratio"], 2, note=f"({interval(row['ci_low'], row['ci_high'], 2)})")
    reached = Cell("not reached") if missing(median) and row["n"] else value(median, 1)
    return Row(
        [
            words(study.name(row["model"])),
            words(row["label"]),
            whole(row["n"]),
            whole(row["events"]),
            reached,
            ratio,
            probability(row["logrank_p"]),
        ],
        tone="main" if row["model"] == study.headline else "",
    )


RANKING = (
    ("patients", "Patients", "patients tested at least once"),
    ("events", "Deaths", ""),
    ("c_mean", "C mean", "Harrell's C-index, mean over the test folds"),
    ("c_sd", "SD", "standard deviation over the test folds; not a standard error"),
    ("ci", "{level} CI", "of the mean, corrected for overlapping training parts"),
    ("c_pooled", "C pooled", "each patient once, percentiles within test folds"),
    ("pooled_ci", "{level} CI", "of the pooled C-index, from resampled patients"),
    ("uno_c", "Uno C", "weighted for patients who left early"),
    ("auc", "AUC", "time-dependent, averaged over time"),
    ("c_train", "C fitted on", "on the patients that the model was fitted on"),
    ("optimism", "Gap", "fitted on minus test"),
    ("c_permuted", "C shuffled", "with shuffled outcomes: what chance gives"),
)
PROBABILITIES = (
    ("ibs", "IBS", "integrated Brier score; 0 is perfect"),
    ("ipa", "IPA", "gain over knowing nothing of the patient; 0 is none"),
    ("ibs_pooled", "IBS pooled", "each patient once"),
    ("calibration_slope", "Slope", "calibration slope; 1 is right, under 1 too extreme"),
    ("dcal_p", "D-cal p", "small: the percentages do not fit"),
    ("folds", "Folds", "test folds"),
    ("seeds", "Seeds", "training runs with other random numbers, averaged"),
)
COUNTS = {"patients": "patient", "events": "death", "folds": "test fold", "seeds": "seed"}


def number_grids(study: Study) -> list[Grid]:
    """Return all numbers of the summary, as one table of ranking and one of predicted probabilities."""
    return [
        _number_grid(study, "Ranking of patients", RANKING),
        _number_grid(study, "Accuracy of predicted survival", PROBABILITIES),
    ]


def _number_grid(study: Study, caption: str, columns: tuple) -> Grid:
    """Return a table of the summary; counts that are the same for all models stand in the caption."""
    summary = study.summary.loc[list(study.catalogue)]
    same = [key for key, _, _ in columns if key in COUNTS and summary[key].nunique() == 1]
    columns = [column for column in columns if column[0] not in same]
    rows = []
    for model, row in summary.iterrows():
        cells = [words(row["title"]), *(_number_cell(row, key) for key, _, _ in columns)]
        rows.append(Row(cells, tone="main" if model == study.headline else ""))
    heads = [Column("Model", numeric=False)]
    heads += [Column(title.format(level=study.level), help=text) for _, title, text in columns]
    counts = listed([count(summary[key].iloc[0], COUNTS[key]) for key in same])
    return Grid(f"{caption}, all models{': ' if counts else ''}{counts}", heads, rows, sortable=True)


def _number_cell(row: Mapping[str, Any], key: str) -> Cell:
    if key in COUNTS:
        return whole(row[key])
    if key == "ci":
        return Cell(interval(row["c_ci_low"], row["c_ci_high"]))
    if key == "pooled_ci":
        return Cell(interval(row["c_pooled_low"], row["c_pooled_high"]))
    return probability(row[key]) if key.endswith("_p") else value(row[key])


def within_grid(study: Study) -> Grid | None:
    """Return the C-index within the levels of each subgroup column, None where there are none."""
    table = study.metrics
    table = table[(table["metric"] == "harrell_c_within") & (table["fold"] == POOLED) & (table["n"] > 0)]
    subsets = list(dict.fromkeys(table["subset"]))
    if not subsets:
        return None
    found = table.set_index(["model", "subset"])
    heads = [Column("Model", numeric=False)]
    for subset in subsets:
        first = found.xs(subset, level="subset").iloc[0]
        title = subset.replace("_", " ").replace("=", ": ") if "=" in subset else f"within {subset}"
        heads.append(Column(title, help=f"{int(first['n'])} patients, {int(first['events'])} deaths"))
    rows = [
        Row(
            [words(study.name(model)), *(value(found["value"].get((model, subset))) for subset in subsets)],
            tone="main" if model == study.headline else "",
        )
        for model in study.catalogue
    ]
    note = "Pooled C-index over pairs of patients of the same subgroup: what a model knows beyond the subgroup itself."
    return Grid("C-index within subgroups", heads, rows, note, sortable=True)


COMPARED = (  # test, metric, title, help
    (FOLDS, "harrell_c", "C-index, over folds", "corrected resampled t-test"),
    (PATIENTS, "harrell_c", "C-index, over patients", "paired bootstrap of the pooled patients"),
    (FOLDS, "ibs", "Brier score, over folds", "below 0 is better; corrected resampled t-test"),
)


def comparison_grid(study: Study) -> Grid | None:
    """Return the comparisons of the report's first model with every baseline and reference."""
    table = study.comparisons[study.comparisons["model"] == study.headline]
    if table.empty:
        return None
    found = {(row["against"], row["test"], row["metric"]): row for row in table.to_dict("records")}
    rows = []
    for against in dict.fromkeys(table["against"]):
        cells = [words(study.name(against))]
        for test, metric, _, _ in COMPARED:
            row = found[against, test, metric]
            cells += [difference(row["delta"], row["ci_low"], row["ci_high"]), probability(row["p_adjusted"])]
        first = found[against, FOLDS, "harrell_c"]
        cells += [value(first["minimum_detectable"]), judgement(first["verdict"])]
        rows.append(Row(cells))
    columns = [Column("Against", numeric=False)]
    for _, _, title, text in COMPARED:
        columns += [
            Column(title, help=text),
            Column("adj.\u00a0p", help="Holm-adjusted within the family, see below"),
        ]
    columns += [
        Column("Detectable", help="smallest true difference in C-index that the folds would show"),
        Column("Verdict (C-index, folds)", numeric=False),
    ]
    primary = [study.name(name) for name in dict.fromkeys(table.loc[table["primary"], "against"])]
    sizes = {kind: int(rows["family"].max()) for kind, rows in table.groupby("primary")}
    declared = f"Primary, and adjusted among {sizes[True]}: those against {listed(primary)}. " if primary else ""
    others = f"Exploratory, and adjusted among {sizes[False]}: the others. " if False in sizes else ""
    note = f"Differences with {study.level} interval. {declared}{others}All of them: evaluation/comparisons.tsv."
    caption = f"{study.name(study.headline)} against every baseline and reference"
    return Grid(caption, columns, rows, note, sortable=True, stacked=True)


def audit_grid(study: Study) -> Grid:
    """Return the findings of the label audit."""
    tones = {"pass": "pass", "warn": "warn", "stop": "stop"}
    rows = [
        Row([words(finding["check"]), Cell(finding["status"], tone=tones[finding["status"]]), words(finding["detail"])])
        for finding in study.audit
    ]
    columns = [Column("Check", numeric=False), Column("Result", numeric=False), Column("What was seen", numeric=False)]
    return Grid("Checks of labels and tables", columns, rows, note="Evidence behind each: cohort/audit.json.")
