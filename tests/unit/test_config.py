"""The configuration loader: defaults, and one sentence for each thing that is wrong, all at once."""

from pathlib import Path

import pytest
import yaml

from pathgptomic import config as subject

WORKFLOW = """
config:
  cohorts: {type: array, items: {type: string}, default: [demo], description: Cohorts.}
  cohort_folder: {type: string, default: cohorts, description: Folder.}
  data_root: {type: string, default: ".", description: Root.}
"""
STAGE = """
config:
  additionalProperties: false
  properties:
    epochs: {type: integer, default: 30, description: Number of epochs.}
    models:
      type: object
      default: {}
      description: Models.
      additionalProperties:
        type: object
        additionalProperties: false
        properties:
          fusion: {type: string, enum: [concat, kronecker], default: concat, description: Fusion.}
cohort:
  title: {type: string, description: Name for people., required: true}
  missing: {type: string, enum: [drop, mask], default: drop, description: Policy.}
"""


@pytest.fixture
def workflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workflow folder with two schema files and one cohort."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subject, "STAGES", ())
    schemas = tmp_path / "config" / "schemas"
    schemas.mkdir(parents=True)
    (schemas / "workflow.schema.yaml").write_text(WORKFLOW)
    (schemas / "survival.schema.yaml").write_text(STAGE)
    (tmp_path / "cohorts").mkdir()
    (tmp_path / "cohorts" / "demo.yaml").write_text("title: Demo\n")
    return tmp_path


def test_defaults_reach_every_level(workflow: Path):
    config, cohorts = subject.load({"survival": {"models": {"a": {}}}}, workflow)
    assert config["survival"] == {"epochs": 30, "models": {"a": {"fusion": "concat"}}}
    assert cohorts == {"demo": {"title": "Demo", "missing": "drop"}}


def test_the_given_configuration_is_not_changed(workflow: Path):
    given = {"survival": {"models": {"a": {}}}}
    subject.load(given, workflow)
    assert given == {"survival": {"models": {"a": {}}}}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"cohort": []}, "unknown key 'cohort' in the top level (did you mean 'cohorts'?)."),
        ({"survival": {"epoch": 3}}, "unknown key 'epoch' in 'survival' (did you mean 'epochs'?)."),
        ({"survival": {"epochs": "many"}}, "'survival.epochs' is \"many\"; it must be a whole number."),
        (
            {"survival": {"models": {"a": {"fusion": "concta"}}}},
            "(did you mean 'concat'?); choose one of concat, kronecker",
        ),
        ({"cohorts": ["dmeo"]}, "unknown cohort 'dmeo': there is no cohorts/dmeo.yaml (did you mean 'demo'?)."),
    ],
)
def test_an_error_is_one_sentence(workflow: Path, given: dict, sentence: str):
    with pytest.raises(subject.ConfigError) as caught:
        subject.load(given, workflow)
    assert sentence in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_all_errors_come_at_once(workflow: Path):
    (workflow / "cohorts" / "other.yaml").write_text("missing: perhaps\n")
    with pytest.raises(subject.ConfigError) as caught:
        subject.load({"cohorts": ["demo", "other", "third"]}, workflow)
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert "cohorts/other.yaml: key 'title' is missing in the top level; name for people." in str(caught.value)
    assert "unknown cohort 'third'" in str(caught.value)


def test_the_cohort_folder_falls_back_to_the_workflow(workflow: Path, monkeypatch: pytest.MonkeyPatch):
    elsewhere = workflow / "run"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert subject.load({}, workflow)[1]["demo"]["title"] == "Demo"


def test_every_key_of_the_real_schemas_is_closed_described_and_has_a_default(root: Path):
    def walk(schema: dict, place: str, required: bool):
        if schema.get("type") == "object" or "properties" in schema:
            assert "additionalProperties" in schema, f"{place} admits unknown keys"
        for key, part in schema.get("properties", {}).items():
            assert part.get("description"), f"{place}.{key} has no description"
            wanted = key in schema.get("required", [])
            assert wanted or "default" in part, f"{place}.{key} has neither a default nor is it required"
            walk(part, f"{place}.{key}", wanted)
        for keyword in ("additionalProperties", "items"):
            if isinstance(schema.get(keyword), dict):
                walk(schema[keyword], f"{place}.*", False)

    for schema in subject.compose_schemas(root / "config" / "schemas"):
        walk(schema, "", True)


def test_every_shipped_cohort_file_is_complete_by_the_schema(root: Path):
    _, cohort_schema = subject.compose_schemas(root / "config" / "schemas")
    files = [*(root / "config" / "cohorts").glob("*.yaml"), *(root / "config" / "real").glob("*.yaml")]
    assert files
    for path in files:
        _, errors = subject._complete(yaml.safe_load(path.read_text()), cohort_schema, path.name)
        assert not errors, errors
