"""The reference of the configuration keys in the documentation."""

from pathlib import Path

from pathgptomic.reference import reference, update


def test_the_documentation_says_what_the_schemas_say(root: Path):
    page = root / "config" / "README.md"
    assert page.read_text() == update(page, root / "config" / "schemas"), "run `make docs`"


def test_nested_keys_and_choices_are_listed(root: Path):
    text = reference(root / "config" / "schemas")
    assert '| `cohort_folder` | string | `"config/cohorts"` |' in text
    assert '| `device` | `auto` \\| `cpu` \\| `cuda` | `"auto"` |' in text
    assert "| `tables.clinical.time.unit` |" in text
