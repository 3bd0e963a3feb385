"""The reference of every configuration key, written from the schemas: ``python -m pathgptomic.reference``.

`config/README.md` holds the tables between two marks; a test keeps them equal to what the schemas say.
"""

import json
from pathlib import Path
from typing import Any

from pathgptomic.config import compose_schemas
from pathgptomic.files import atomic

BEGIN, END = "<!-- reference: begin -->", "<!-- reference: end -->"


def reference(schemas: Path) -> str:
    """Return the tables of all keys of config.yaml and of a cohort file as Markdown."""
    config, cohort = compose_schemas(schemas)
    parts = [BEGIN, "", "### `config/config.yaml`", "", *_table(config), ""]
    parts += ["### `config/cohorts/NAME.yaml`", "", *_table(cohort), "", END]
    return "\n".join(parts)


def update(readme: Path, schemas: Path) -> str:
    """Return the text of `readme` with its reference replaced by what the schemas say now."""
    text = readme.read_text(encoding="utf-8")
    return text[: text.index(BEGIN)] + reference(schemas) + text[text.index(END) + len(END) :]


def _table(schema: dict[str, Any]) -> list[str]:
    return ["| key | type | default | meaning |", "| --- | --- | --- | --- |", *_rows(schema, "")]


def _rows(schema: dict[str, Any], prefix: str) -> list[str]:
    """Return one row a key, depth first; the members of an open mapping stand under `NAME`."""
    rows = []
    required = schema.get("required", [])
    for key, part in schema.get("properties", {}).items():
        default = "required" if key in required else _code(part.get("default"))
        meaning = " ".join(part.get("description", "").split()).replace("|", "\\|")
        rows.append(f"| `{prefix}{key}` | {_type(part)} | {default} | {meaning} |")
        rows += _members(part, f"{prefix}{key}")
    return rows


def _members(part: dict[str, Any], place: str) -> list[str]:
    rows = _rows(part, f"{place}.")
    if isinstance(part.get("additionalProperties"), dict):
        rows += _rows(part["additionalProperties"], f"{place}.NAME.")
    if isinstance(part.get("items"), dict):
        rows += _rows(part["items"], f"{place}[].")
    for option in [*part.get("anyOf", []), *part.get("oneOf", [])]:
        rows += _rows(option, f"{place}.")
    return rows


def _type(part: dict[str, Any]) -> str:
    if "enum" in part:
        return " \\| ".join(f"`{choice}`" for choice in part["enum"])
    if "const" in part:
        return _code(part["const"])
    options = part.get("anyOf") or part.get("oneOf")
    if options:
        return " or ".join(dict.fromkeys(_type(option) for option in options))
    kind = part.get("type", "any")
    return " or ".join(kind) if isinstance(kind, list) else kind


def _code(value: Any) -> str:
    text = json.dumps(value)
    return f"`{text if len(text) <= 60 else text[:57] + '...'}`".replace("|", "\\|")


if __name__ == "__main__":
    page = Path("config/README.md")
    new = update(page, Path("config/schemas"))
    with atomic(page) as temporary:
        temporary.write_text(new, encoding="utf-8")
