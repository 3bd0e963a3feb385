"""The step make_splits: published or own folds with inner parts, and what they can and cannot tell."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pathgptomic.cohort.audit import conclude
from pathgptomic.cohort.published import read_published
from pathgptomic.cohort.source import Finding
from pathgptomic.cohort.splits import BY_SITE, inner_parts, outer_folds
from pathgptomic.cohort.tables import ROLES, read_patients, write_audit, write_splits
from pathgptomic.files import atomic
from pathgptomic.seeds import rng


def make_splits(
    *,
    patients: str,
    published: Sequence[str],
    settings: Mapping[str, Any],
    seed: int,
    splits_out: str,
    folds_out: str,
    audit_out: str,
) -> None:
    """Write the folds of a cohort, their sizes, and the checks of them.

    Parameters
    ----------
    patients
        ``patients.tsv``.
    published
        Files of published splits, empty unless that is the scheme.
    settings
        The cohort file: `splits`, `tables.splits`, `audit`.
    seed
        The run's seed.
    splits_out, folds_out, audit_out
        ``splits.tsv``, ``folds.tsv`` (fold, role, patients, events, sites, from_training_sites) and
        ``splits_audit.json``.

    Raises
    ------
    ValueError
        If a test part has too few deaths, or the scheme does not fit the cohort.
    """
    table = read_patients(patients)
    scheme = settings["splits"]["scheme"]
    if scheme == "published":
        roles = read_published(published, settings["tables"]["splits"])
        rows = published_folds(table, roles, settings["splits"], seed)
    else:
        rows = own_folds(table, settings["splits"], seed)
    sizes = fold_sizes(table, rows)
    findings = [
        check_events(sizes, settings["audit"]["minimum_events_per_fold"], patients),
        check_inner_events(table, rows),
        check_coverage(table, rows, scheme),
        check_sites(table, sizes, scheme),
    ]
    conclude(findings)
    with atomic(folds_out) as temporary:
        sizes.to_csv(temporary, sep="\t", index=False, lineterminator="\n", float_format="%.4f")
    write_audit(audit_out, [finding.to_dict() for finding in findings])
    write_splits(splits_out, rows)


def own_folds(patients: pd.DataFrame, settings: Mapping[str, Any], seed: int) -> pd.DataFrame:
    """Return rows of ``splits.tsv`` for a scheme of our own."""
    nobody = np.zeros(len(patients), dtype=bool)
    tests = outer_folds(patients, settings, seed)
    return pd.concat(
        [_fold(patients, fold, test, nobody, settings, seed) for fold, test in enumerate(tests, start=1)],
        ignore_index=True,
    )


def published_folds(
    patients: pd.DataFrame, roles: pd.DataFrame, settings: Mapping[str, Any], seed: int
) -> pd.DataFrame:
    """Return rows of ``splits.tsv`` for published folds, restricted to the patients of the cohort."""
    folds = []
    for number, fold in roles.groupby("fold"):
        role = fold.set_index("patient_id")["role"].reindex(patients.index)
        placed = role.notna().to_numpy()
        test, validation = (role[placed] == "test").to_numpy(), (role[placed] == "validation").to_numpy()
        if not test.any() or test.all():
            raise ValueError(
                f"fold {number} of the published splits has {test.sum()} test and {(~test).sum()} training patients of "
                "the cohort; check the ids and words of `tables.splits`."
            )
        folds.append(_fold(patients[placed], int(number), test, validation, settings, seed))
    return pd.concat(folds, ignore_index=True)


def fold_sizes(patients: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return patients, deaths and sites of both parts of every fold.

    `from_training_sites` is the share of a fold's test patients whose site is in its training part too (1 for training
    rows): how much of a result could come from recognising the site.
    """
    table = rows.merge(patients[["event", "site"]], left_on="patient_id", right_index=True)
    sizes = []
    for fold, part in table.groupby("fold"):
        known = set(part.loc[part["role"] == "train", "site"])
        for role in ROLES:
            of_role = part[part["role"] == role]
            sizes.append(
                {
                    "fold": fold,
                    "role": role,
                    "patients": len(of_role),
                    "events": int(of_role["event"].sum()),
                    "sites": of_role["site"].nunique(),
                    "from_training_sites": float(of_role["site"].isin(known).mean()),
                }
            )
    return pd.DataFrame(sizes)


def check_events(sizes: pd.DataFrame, minimum: int, path: str) -> Finding:
    """Stop where a test part has too few deaths to tell anything."""
    events = sizes[sizes["role"] == "test"].set_index("fold")["events"]
    evidence = {"minimum": minimum, "events by fold": {str(fold): int(count) for fold, count in events.items()}}
    fold, fewest = int(events.idxmin()), int(events.min())
    if fewest < minimum:
        detail = (
            f"{path}: fold {fold} has {fewest} deaths in its test part, fewer than {minimum}; use fewer folds, or "
            "lower `audit.minimum_events_per_fold`."
        )
        return Finding("events per fold", "stop", detail, evidence)
    status = "pass" if fewest >= 2 * minimum else "warn"
    return Finding("events per fold", status, f"Test parts have {fewest} to {events.max()} deaths.", evidence)


def check_inner_events(patients: pd.DataFrame, rows: pd.DataFrame) -> Finding:
    """Warn where an inner validation part has no death, since nothing can be chosen by it."""
    training = rows[rows["role"] == "train"]
    events = patients["event"].reindex(training["patient_id"]).to_numpy()
    counts = training.assign(event=events).groupby(["fold", "inner"])["event"].sum()
    evidence = {"fewest": int(counts.min()), "most": int(counts.max())}
    status = "warn" if counts.min() == 0 else "pass"
    return Finding(
        "events per inner part", status, f"Inner parts have {counts.min()} to {counts.max()} deaths.", evidence
    )


def check_coverage(patients: pd.DataFrame, rows: pd.DataFrame, scheme: str) -> Finding:
    """Say how often patients are tested: folds that overlap are not independent."""
    times = rows[rows["role"] == "test"]["patient_id"].value_counts().reindex(patients.index, fill_value=0)
    never, often = int((times == 0).sum()), int((times > 1).sum())
    evidence = {
        "scheme": scheme,
        "folds": int(rows["fold"].nunique()),
        "never tested": never,
        "tested repeatedly": often,
    }
    if not never and not often:
        return Finding("test coverage", "pass", "Every patient is tested once.", evidence)
    detail = f"Of {len(patients)} patients {never} are never tested and {often} are tested in several folds."
    return Finding("test coverage", "pass" if often and not never else "warn", detail, evidence)


def check_sites(patients: pd.DataFrame, sizes: pd.DataFrame, scheme: str) -> Finding:
    """Say how many test patients come from sites that trained the model."""
    tests = sizes[sizes["role"] == "test"]
    share = float(np.average(tests["from_training_sites"], weights=tests["patients"]))
    evidence = {"sites": int(patients["site"].nunique()), "share of test patients": round(share, 4)}
    unknown = int((patients["site"] == "").sum())
    if unknown == len(patients):
        return Finding("sites", "warn", "No site is known, so a model may have learned sites.", evidence)
    detail = f"{share:.0%} of the test patients come from a site that is in the training part too"
    if unknown:
        detail += f"; {unknown} patients without a site count as one site"
    return Finding("sites", "pass" if scheme in BY_SITE and not unknown else "warn", f"{detail}.", evidence)


def _fold(
    patients: pd.DataFrame,
    fold: int,
    test: np.ndarray,
    validation: np.ndarray,
    settings: Mapping[str, Any],
    seed: int,
) -> pd.DataFrame:
    """Return the rows of one fold."""
    inner = np.zeros(len(patients), dtype=int)
    inner[~test] = inner_parts(patients[~test], settings, validation[~test], rng(seed, "inner parts", fold))
    role = np.where(test, "test", "train")
    return pd.DataFrame({"fold": fold, "patient_id": patients.index, "role": role, "inner": inner})
