"""Read the configuration: compose the stages' schemas, fill in defaults, and say everything that is wrong at once."""

import copy
import difflib
import importlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

STAGES = ("cohort", "singlecell", "genomics", "slides", "survival", "report")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # every job reads the schemas; in C that takes a tenth
TYPE_WORDS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "empty",
}


class ConfigError(ValueError):
    """All that is wrong with a run's configuration, one sentence a line."""


def load(config: dict[str, Any], workflow: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the run's configuration and its cohorts, complete with defaults.

    Parameters
    ----------
    config
        The merged configuration as Snakemake hands it over.
    workflow
        Root of the workflow (the folder of the Snakefile).

    Returns
    -------
    config, cohorts
        Plain dictionaries; `cohorts` maps each name in ``config["cohorts"]`` to the content of its file.

    Raises
    ------
    ConfigError
        With one sentence for every error of the configuration, of the cohort files and of the stages' own checks.
    """
    config_schema, cohort_schema = compose_schemas(workflow / "config" / "schemas")
    config, errors = _complete(config, config_schema, "config")
    cohorts: dict[str, dict[str, Any]] = {}
    if not errors:
        folder = cohort_folder(config, workflow)
        for name in config["cohorts"]:
            path = folder / f"{name}.yaml"
            if not path.is_file():
                errors.append(_unknown_cohort(name, folder))
                continue
            content = yaml.load(path.read_text(encoding="utf-8"), LOADER) or {}
            cohorts[name], found = _complete(content, cohort_schema, str(path))
            errors += found
    if not errors:
        errors = [sentence for check in _stage_checks() for sentence in check(config, cohorts)]
    if errors:
        raise ConfigError("\n".join(f"- {sentence}" for sentence in errors))
    return config, cohorts


def compose_schemas(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the schemas of config.yaml and of a cohort file, joined from the files in `folder`.

    A file ``<stage>.schema.yaml`` may hold ``config`` (the schema of the stage's section of config.yaml) and ``cohort``
    (the keys that the stage owns in a cohort file). ``workflow.schema.yaml`` holds the keys outside any section.
    """
    config: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": {}}
    cohort: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": {}, "required": []}
    stages = {path.name.removesuffix(".schema.yaml"): path for path in sorted(folder.glob("*.schema.yaml"))}
    # the workflow's own keys come first wherever the schema is shown
    for stage, path in sorted(stages.items(), key=lambda item: item[0] != "workflow"):
        parts = yaml.load(path.read_text(encoding="utf-8"), LOADER)
        if stage == "workflow":
            config["properties"] |= parts["config"]
        elif "config" in parts:
            config["properties"][stage] = {"type": "object", "default": {}, **parts["config"]}
        for key, schema in parts.get("cohort", {}).items():
            # `required: true` beside a key is our short form of the list that JSON schema wants beside the properties
            schema = dict(schema)
            if schema.get("required") is True:
                del schema["required"]
                cohort["required"].append(key)
            cohort["properties"][key] = schema
    return config, cohort


def cohort_folder(config: dict[str, Any], workflow: Path) -> Path:
    """Return the folder of the cohort files: as named from the working directory or, failing that, in the workflow."""
    folder = Path(config["cohort_folder"])
    return folder if folder.is_dir() else workflow / folder


def resolve(config: dict[str, Any], path: str) -> str:
    """Return a path of a cohort file as seen from the working directory."""
    return str(Path(config["data_root"]) / path)


def _complete(content: dict[str, Any], schema: dict[str, Any], name: str) -> tuple[dict[str, Any], list[str]]:
    """Validate `content` and return it with defaults, and the sentences of what is wrong."""
    content = with_defaults(copy.deepcopy(content), schema)
    found = sorted(Draft202012Validator(schema).iter_errors(content), key=lambda error: list(map(str, error.path)))
    return content, [sentence for error in found for sentence in _sentences(error, name)]


def with_defaults(value: Any, schema: dict[str, Any]) -> Any:
    """Return `value` with every default of `schema` that it leaves out, at any depth."""
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        for key, part in properties.items():
            if key not in value and "default" in part:
                value[key] = copy.deepcopy(part["default"])
        others = schema.get("additionalProperties")
        for key in value:
            part = properties.get(key, others if isinstance(others, dict) else None)
            if part is not None:
                value[key] = with_defaults(value[key], part)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        value = [with_defaults(item, schema["items"]) for item in value]
    return value


def _sentences(error: ValidationError, name: str) -> list[str]:
    """Say one schema error in words: file, place, offending value, fix."""
    place = ".".join(map(str, error.absolute_path))
    where = f"'{place}'" if place else "the top level"
    if error.validator == "additionalProperties":
        known = sorted(error.schema.get("properties", {}))
        unknown = [key for key in error.instance if key not in known]
        return [f"{name}: unknown key '{key}' in {where}{_hint(str(key), known)}." for key in unknown]
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        return [f"{name}: key '{key}' is missing in {where}; {_describe(error.schema, key)}." for key in missing]
    if error.validator == "type":
        expected = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
        words = " or ".join(TYPE_WORDS[kind] for kind in expected)
        return [f"{name}: {where} is {_show(error.instance)}; it must be {words}."]
    if error.validator == "enum":
        choices = ", ".join(map(str, error.validator_value))
        hint = _hint(str(error.instance), [str(choice) for choice in error.validator_value])
        return [f"{name}: {where} is {_show(error.instance)}{hint}; choose one of {choices}."]
    if error.validator in ("anyOf", "oneOf") and error.context:
        # the alternative that got furthest into the value is the one the user meant
        deepest = max(error.context, key=lambda part: (len(part.absolute_path), part.validator != "type"))
        return _sentences(deepest, name)
    return [f"{name}: {where} is {_show(error.instance)}; {error.message}."]


def _hint(word: str, known: list[str]) -> str:
    """Return ' (did you mean ...?)', or the known words where they are few, or nothing."""
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f" (did you mean '{close[0]}'?)"
    return f" (known: {', '.join(known)})" if 0 < len(known) <= 12 else ""


def _describe(schema: dict[str, Any], key: str) -> str:
    """Return the description of a key as half a sentence."""
    text = schema.get("properties", {}).get(key, {}).get("description", "add it").rstrip(".")
    return text[0].lower() + text[1:]


def _show(value: Any) -> str:
    """Return a value as the user would have typed it, cut to a readable length."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _unknown_cohort(name: str, folder: Path) -> str:
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    return f"config: unknown cohort '{name}': there is no {folder / name}.yaml{_hint(name, known)}."


def _stage_checks() -> list[Any]:
    """Return the `errors` function of every stage that has checks of its own."""
    names = [f"pathgptomic.{stage}.checks" for stage in STAGES]
    return [importlib.import_module(name).errors for name in names if importlib.util.find_spec(name)]
