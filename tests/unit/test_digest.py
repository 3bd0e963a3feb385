"""The import closure behind `code_digest`, held to what Python really imports."""

import subprocess
import sys
from pathlib import Path

import pytest

from pathgptomic import digest

SCRIPTS = sorted(path.stem for path in (Path(__file__).parents[2] / "scripts").glob("*.py"))

TRACE = """
import runpy, sys
try:
    runpy.run_path(sys.argv[1], run_name="imported")
except NameError:
    pass
for module in list(sys.modules.values()):
    if module.__name__.startswith("pathgptomic") and getattr(module, "__file__", None):
        print(module.__file__)
"""


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_closure_holds_every_module_that_python_imports(root: Path, script: str):
    path = root / "scripts" / f"{script}.py"
    run = subprocess.run(
        [sys.executable, "-c", TRACE, str(path)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(root / "scripts")},
    )
    assert run.returncode == 0, run.stderr
    imported = {Path(line) for line in run.stdout.splitlines()}
    assert imported
    assert imported <= digest.import_closure(path)


def test_a_change_in_a_reached_module_changes_the_digest_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "pathgptomic"
    (package / "stage").mkdir(parents=True)
    for name, text in {
        "__init__.py": "",
        "stage/__init__.py": "",
        "stage/near.py": "from pathgptomic.stage import far",
        "stage/far.py": "X = 1",
        "stage/other.py": "Y = 1",
        "stage/lazy.py": "Z = 1",
    }.items():
        (package / name).write_text(text)
    (tmp_path / "step.py").write_text("from pathgptomic.stage.near import f\n")
    (tmp_path / "late.py").write_text("def g():\n    import pathgptomic.stage.lazy\n")
    monkeypatch.setattr(digest, "PACKAGE", package)

    def digests() -> dict[str, str]:
        digest._imports.cache_clear()
        return {script: digest.code_digest(script) for script in ("step", "late")}

    before = digests()
    (package / "stage" / "other.py").write_text("Y = 2")
    assert digests() == before
    (package / "stage" / "far.py").write_text("X = 2")
    after = digests()
    assert after["step"] != before["step"]
    assert after["late"] == before["late"]
    (package / "stage" / "lazy.py").write_text("Z = 2")
    assert digests()["late"] != before["late"]


def test_a_resource_counts(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert SCRIPTS
    plain = digest.code_digest(SCRIPTS[0])
    assert digest.code_digest(SCRIPTS[0], "__init__.py") != plain
