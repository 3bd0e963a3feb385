"""A folder that stands in for the GDC: its answers as files, and data in the layout of the GDC's own client.

``<mirror>/answers/{files,cases,status}*.json[.gz]`` hold answers as received (any number, of any projects), and
``<mirror>/<uuid>/<file name>`` the files.
"""

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pathgptomic.cohort.gdc.query import Filter, Hit

KEYS = {"files": "file_id", "cases": "case_id"}


class Mirror:
    """Answers queries from the files of a folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    def ask(self, path: str, payload: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return what the GDC would: the hits that match the payload's filter, or the status."""
        answers = list(self._answers(path))
        if not answers:
            raise ValueError(
                f"the mirror {self.folder} has no answers/{path}*.json; copy there the answers that lock_cohort wrote "
                "where there was internet."
            )
        if payload is None:
            return answers[-1]
        hits = {hit[KEYS[path]]: hit for answer in answers for hit in answer["data"]["hits"]}
        found = [hits[key] for key in sorted(hits) if matches(hits[key], payload["filters"])]
        page = found[payload["from"] : payload["from"] + payload["size"]]
        return {"data": {"hits": page, "pagination": {"count": len(page), "total": len(found)}}, "warnings": {}}

    def _answers(self, kind: str) -> Iterator[dict[str, Any]]:
        for path in sorted((self.folder / "answers").glob(f"{kind}*.json*")):
            opened = gzip.open if path.suffix == ".gz" else open
            with opened(path, "rt", encoding="utf-8") as handle:
                yield json.load(handle)


def matches(hit: Hit, condition: Filter) -> bool:
    """Return whether a hit passes a GDC filter of ``and``, ``or``, ``in`` and ``=``."""
    op, content = condition["op"], condition["content"]
    if op in {"and", "or"}:
        return (all if op == "and" else any)(matches(hit, part) for part in content)
    wanted = content["value"] if isinstance(content["value"], list) else [content["value"]]
    if op not in {"in", "="}:
        raise ValueError(f"a mirror cannot answer the filter operation {op!r}.")
    return any(value in wanted for value in values(hit, content["field"]))


def values(hit: Any, field: str) -> list[Any]:
    """Return all values of a dotted field, through any lists on the way; nothing where it is absent."""
    level = [hit]
    for name in field.split("."):
        below = [item.get(name) for item in level if isinstance(item, Mapping)]
        level = [item for value in below for item in (value if isinstance(value, list) else [value])]
    return [value for value in level if value is not None]


def pick(hit: Hit, fields: Sequence[str]) -> Hit:
    """Return the named fields of a hit, as the GDC does."""
    chosen: Hit = {}
    names: dict[str, list[str]] = {}
    for field in fields:
        first, _, rest = field.partition(".")
        names.setdefault(first, []).append(rest)
    for name, below in names.items():
        if name not in hit:
            continue
        value = hit[name]
        if "" in below or not isinstance(value, (dict, list)):
            chosen[name] = value
        elif isinstance(value, dict):
            chosen[name] = pick(value, below)
        else:
            chosen[name] = [pick(item, below) for item in value]
    return chosen
