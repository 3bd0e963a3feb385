"""How the GDC of today differs from a lock: files gone, replaced, added, changed; cases gone, added, followed up."""

from collections.abc import Iterator

import pandas as pd

from pathgptomic.cohort.gdc.manifest import CLINICAL

COLUMNS = ("change", "modality", "case", "locked", "now")


def drift(locked: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """Compare two manifests.

    Returns
    -------
    DataFrame
        `change`: ``gone``, ``added``, ``replaced`` (another file of the same aliquot, type and workflow in its place),
        ``changed`` (the same file with another size or MD5), ``follow-up`` (another vital status or time). `locked` and
        `now` say what it was and is.
    """
    rows = [*_files(locked, now), *_cases(locked, now)]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.sort_values(["modality", "change", "case"], ignore_index=True)


def _files(locked: pd.DataFrame, now: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    old, new = (t[t["modality"] != CLINICAL].set_index("uuid") for t in (locked, now))
    both = old.index.intersection(new.index)
    for uuid in both[(old.loc[both, "md5"] != new.loc[both, "md5"]) | (old.loc[both, "size"] != new.loc[both, "size"])]:
        before, after = (f"{t.loc[uuid, 'md5']} ({t.loc[uuid, 'size']} bytes)" for t in (old, new))
        yield "changed", old.loc[uuid, "modality"], old.loc[uuid, "case"], before, after
    gone, added = old.loc[old.index.difference(new.index)], new.loc[new.index.difference(old.index)]
    heirs: dict[tuple[str, ...], list[str]] = {}
    for uuid, row in added.iterrows():
        heirs.setdefault(_place(row), []).append(str(uuid))
    for uuid, row in gone.iterrows():
        heir = heirs.get(_place(row))
        if heir:
            yield "replaced", row["modality"], row["case"], str(uuid), heir.pop(0)
        else:
            yield "gone", row["modality"], row["case"], str(uuid), ""
    left = {uuid for uuids in heirs.values() for uuid in uuids}
    for uuid in sorted(left):
        yield "added", added.loc[uuid, "modality"], added.loc[uuid, "case"], "", uuid


def _place(row: pd.Series) -> tuple[str, ...]:
    """What a file is of: a file of the same place that comes when another goes has replaced it."""
    slide = row["file_name"].split(".")[0] if row["modality"] == "slides" else ""
    return row["case"], row["data_type"], row["workflow"], row["aliquot"], slide


def _cases(locked: pd.DataFrame, now: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    old, new = (t[t["modality"] == CLINICAL].set_index("uuid") for t in (locked, now))
    for uuid in old.index.difference(new.index):
        yield "gone", CLINICAL, old.loc[uuid, "case"], str(uuid), ""
    for uuid in new.index.difference(old.index):
        yield "added", CLINICAL, new.loc[uuid, "case"], "", str(uuid)
    both = old.index.intersection(new.index)
    for uuid in both:
        before, after = ((t.loc[uuid, "vital_status"], t.loc[uuid, "time_days"]) for t in (old, new))
        if before != after:
            yield "follow-up", CLINICAL, old.loc[uuid, "case"], " ".join(before), " ".join(after)
