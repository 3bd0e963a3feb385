"""Every stage alone: its pins in an empty environment, its modules imported there, its unit tests run there.

The import of one stage belongs to every test run; the rest takes minutes and runs with `make environments`.
"""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from envs.install import uv_environment
from pathgptomic.digest import import_closure
from tests.unit.test_environments import deployed, read

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "tests" / "unit"
STAGES = ["cohort", "singlecell", "genomics", "slides", "survival", "report"]
# what runs tests, and what checks of the configuration need, which run beside Snakemake
TOOLS = ("pytest==", "hypothesis==", "jsonschema==", "pyyaml==")
# packages that some tests hold a stage's results against or read its files with; those tests need everything installed
ORACLES = {"cellxgene_census", "lifelines", "openslide", "sksurv", "statsmodels", "torchsurv"}
WORKFLOW = '"snakemake"'  # in tests that start the workflow, and so need all that it needs
MISSING = """
import importlib.util, json, sys
print(json.dumps([name for name in sys.argv[1:] if not importlib.util.find_spec(name)]))
"""


def run(*command: str | Path, **variables: str) -> str:
    """Run a command from the root of the clone and return what it printed; fail with its words."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | variables
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, (result.stdout + result.stderr)[-6000:]
    return result.stdout


def install(folder: Path, requirements: list[str]) -> Path:
    """Install into an environment, made if need be, and return its Python."""
    uv = Path(sys.executable).with_name("uv")
    python = folder / "bin" / "python"
    if not python.exists():
        run(uv, "venv", "-q", "--python", sys.executable, folder)
    run(uv, "pip", "install", "-q", "--python", python, *requirements, **uv_environment())
    return python


def pinned(name: str) -> list[str]:
    """Return the pins of an environment, torch first."""
    pins = read(name)["dependencies"][-1]["pip"]
    return sorted(pins, key=lambda pin: not pin.startswith("torch=="))


def imports(path: Path, seen: frozenset[Path] = frozenset()) -> set[str]:
    """Return the packages that a test file imports, itself or through helpers beside it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        for module in modules:
            helper = ROOT / f"{module.replace('.', '/')}.py"
            if module.startswith("tests.") and helper.exists() and helper not in seen:
                found |= imports(helper, seen | {path, helper})
            elif module == "pathgptomic.cohort.simulate.mirror":
                found.add("openslide")  # it draws slides, in the environment of that stage
            elif not module.startswith(("tests", "pathgptomic")):
                found.add(module.partition(".")[0])
    return found


def reached(stage: str) -> list[str]:
    """Return the package modules that the scripts of a stage's environment reach."""
    scripts = [script for script, environment in deployed() if environment == stage]
    files = set().union(*(import_closure(ROOT / "scripts" / f"{script}.py") for script in scripts))
    modules = {str(path.relative_to(ROOT / "scripts").with_suffix("")).replace("/", ".") for path in files}
    return sorted(re.sub(r"\.__init__$", "", module) for module in modules)


@pytest.mark.parametrize(
    "stage", [stage if stage == "cohort" else pytest.param(stage, marks=pytest.mark.environments) for stage in STAGES]
)
def test_a_stage_imports_with_nothing_but_its_pins(stage: str, tmp_path: Path):
    python = install(tmp_path / stage, pinned(stage))
    modules = reached(stage)
    assert modules
    run(python, "-c", "\n".join(f"import {module}" for module in modules), PYTHONPATH=str(ROOT / "scripts"))


@pytest.mark.environments
@pytest.mark.parametrize("stage", STAGES)
def test_the_tests_of_a_stage_run_with_nothing_but_its_pins(stage: str, tmp_path: Path):
    tools = [pin for pin in pinned("dev") + pinned("workflow") if pin.startswith(TOOLS)]
    python = install(tmp_path / stage, [*pinned(stage), *tools])
    wanted = {path: imports(path) for path in sorted((UNIT / stage).glob("test_*.py"))}
    missing = set(json.loads(run(python, "-c", MISSING, *sorted(set().union(*wanted.values())))))
    assert missing <= ORACLES
    files = [path for path, packages in wanted.items() if not packages & missing and WORKFLOW not in path.read_text()]
    assert len(files) > len(wanted) / 2
    output = run(python, "-m", "pytest", "-p", "no:cacheprovider", *files)
    assert re.search(r"\d+ passed", output)


@pytest.mark.environments
def test_the_published_scgpt_package_needs_no_other_than_its_pins(tmp_path: Path):
    python = install(tmp_path / "scgpt", pinned("scgpt"))
    script = (ROOT / "envs" / "scgpt.post-deploy.sh").read_text()
    install(tmp_path / "scgpt", ["--no-deps", *re.findall(r"--no-deps (\S+)", script)])
    run(python, "-c", "import pathgptomic.genomics.published", PYTHONPATH=str(ROOT / "scripts"))
