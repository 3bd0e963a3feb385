"""What the schema of the report stage cannot say, checked before any job."""

from collections.abc import Mapping
from typing import Any

FIXED_SUBGROUPS = ("stratum", "site")


def errors(config: Mapping[str, Any], cohorts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return one sentence for every subgroup that is no column of its cohort's patients."""
    sentences = []
    for name, cohort in cohorts.items():
        known = [*FIXED_SUBGROUPS, *cohort.get("covariates", {})]
        sentences += [
            f"cohort {name}: subgroup '{column}' is no column of its patients; choose of {', '.join(known)}."
            for column in cohort.get("subgroups", [])
            if column not in known
        ]
    return sentences
