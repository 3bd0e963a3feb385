"""Who was dropped, where and why: the table behind the patient flow diagram."""

import pandas as pd

from pathgptomic.cohort.tables import FLOW_COLUMNS

EXAMPLES = 5


class Flow:
    """The patients that remain, and a row for every step that any of them met.

    Parameters
    ----------
    event
        Index `patient_id`; True where the death was observed, missing where that is not known.
    source
        What the first row calls the table that everybody comes from.
    """

    def __init__(self, event: pd.Series, source: str):
        self._event = event.fillna(False).astype(bool)
        self._rows: list[tuple[str, str, int, int, int, str]] = []
        self._record(source, "patients with a row", event.index[:0])

    @property
    def patients(self) -> pd.Index:
        """Ids of the patients that remain."""
        return self._event.index

    def drop(self, step: str, reason: str, patients: pd.Index) -> None:
        """Drop those of `patients` that remain, and record it, with nobody to drop as well."""
        leaving = self._event.index.intersection(patients)
        self._event = self._event.drop(leaving)
        self._record(step, reason, leaving)

    def keep(self, step: str, reason: str, patients: pd.Index) -> None:
        """Drop everybody but `patients`."""
        self.drop(step, reason, self._event.index.difference(patients))

    def table(self) -> pd.DataFrame:
        """Return the flow: step, reason, dropped, remaining, events (deaths remaining), examples of those dropped."""
        return pd.DataFrame(self._rows, columns=list(FLOW_COLUMNS))

    def _record(self, step: str, reason: str, leaving: pd.Index) -> None:
        examples = ", ".join(sorted(leaving)[:EXAMPLES])
        self._rows.append((step, reason, len(leaving), len(self._event), int(self._event.sum()), examples))
