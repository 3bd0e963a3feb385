"""What any source of a cohort, be it local tables or the GDC, hands over in memory to be joined to patient level."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from pathgptomic.cohort.tables import no_features, no_slides

PUBLISHED_ROLES = ("train", "validation", "test")


@dataclass(frozen=True)
class Finding:
    """The outcome of one check: a sentence for people and the numbers that it rests on (plain JSON types)."""

    check: str
    status: str
    detail: str
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as `audit.json` holds it."""
        return {"check": self.check, "status": self.status, "detail": self.detail, "evidence": dict(self.evidence)}


@dataclass(frozen=True)
class Source:
    """One cohort as its source delivers it: nobody dropped, nothing joined, patient ids already made.

    Attributes
    ----------
    clinical
        One row a patient, index `patient_id`: `time_days` (float, NaN where missing), `event` (nullable boolean, True =
        death observed), `site` and `stratum` (text), the covariates (text, NaN where missing), and `dead` (nullable
        boolean, a second witness of the event) where the source has one.
    files
        File or folder of each table, for messages: `clinical`, `expression`, ...
    expression, cnv, mutations
        Patients x features, one row a patient; without columns where the cohort has none.
    scale
        Scale of the expression: ``linear`` or ``zscore``.
    layers
        Further expression tables of the same patients and genes, such as raw counts.
    genes
        What else is known of the genes of the expression, index symbols; None where nothing is.
    slides
        `patient_id`, `slide_id`, `path`.
    with_slides
        Patients who have image data.
    published
        Rows of published splits: `fold`, `patient_id`, `role` (train, validation, test); None where there are none.
    findings
        What the reading itself found (replicates, genes without a name, ...).
    """

    clinical: pd.DataFrame
    files: Mapping[str, str]
    expression: pd.DataFrame = field(default_factory=no_features)
    cnv: pd.DataFrame = field(default_factory=no_features)
    mutations: pd.DataFrame = field(default_factory=no_features)
    scale: str = "linear"
    layers: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    genes: pd.DataFrame | None = None
    slides: pd.DataFrame = field(default_factory=no_slides)
    with_slides: frozenset[str] = frozenset()
    published: pd.DataFrame | None = None
    findings: tuple[Finding, ...] = ()

    def patients_with(self, modality: str) -> frozenset[str]:
        """Return the ids that have something of a modality: a known covariate, a row of features, image data."""
        if modality == "slides":
            return self.with_slides
        if modality == "clinical":
            covariates = self.clinical.drop(columns=["time_days", "event", "site", "stratum", "dead"], errors="ignore")
            known = covariates.notna().any(axis=1) if covariates.shape[1] else pd.Series(True, index=covariates.index)
            return frozenset(known.index[known])
        table = getattr(self, modality)
        return frozenset(table.index[table.notna().any(axis=1)]) if table.shape[1] else frozenset()
