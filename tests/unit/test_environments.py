"""The pin lists of the stages: valid, exact, and complete for what the scripts of their rules import."""

import ast
import functools
import importlib.metadata
import re
import sys
from pathlib import Path

import pytest
import yaml

from pathgptomic.config import ConfigError
from pathgptomic.deployment import images, refuse_missing_images
from pathgptomic.digest import import_closure

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = sorted(path.stem for path in (ROOT / "envs").glob("*.yaml"))
EXACT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[a-z,]+\])?==[0-9][A-Za-z0-9.+!]*")
RULE = re.compile(r"^ *rule \w+:\n(?:(?!^ *rule ).*\n)*", re.M)
HOST = {"snakemake"}  # bound into every job by Snakemake itself


def read(name: str) -> dict:
    return yaml.safe_load((ROOT / "envs" / f"{name}.yaml").read_text())


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(name: str) -> set[str]:
    """Return the packages that an environment pins, and those of its post-deploy script."""
    pins = read(name)["dependencies"][-1]["pip"]
    script = ROOT / "envs" / f"{name}.post-deploy.sh"
    if script.exists():
        pins += re.findall(r"--no-deps (\S+)", script.read_text())
    return {normal(re.split(r"==|\[", pin)[0]) for pin in pins}


def deployed() -> list[tuple[str, str]]:
    """Return every script with the environment that its rule runs it in, or those that settings choose from."""
    found = set()
    for path in sorted((ROOT / "rules").glob("*.smk")):
        for rule in RULE.findall(path.read_text()):
            if script := re.search(r"scripts/(\w+)\.py", rule):
                environment = re.search(r"envs/(\w+)\.yaml", rule)
                found.add((script[1], environment[1] if environment else f"{path.stem} scgpt"))
    return sorted(found)


def identifiers(node: ast.AST) -> set[str]:
    """Return the names that a piece of code mentions, those of its imports among them."""
    found = set()
    for part in ast.walk(node):
        found |= {part.id} if isinstance(part, ast.Name) else set()
        found |= {part.attr} if isinstance(part, ast.Attribute) else set()
        if isinstance(part, ast.Import | ast.ImportFrom):
            found |= {alias.name for alias in part.names}
    return found


def modules(node: ast.AST) -> set[str]:
    """Return the packages that a piece of code imports."""
    found = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in part.names}
        elif isinstance(part, ast.ImportFrom) and not part.level:
            found.add(part.module.partition(".")[0])
    return found


def imported(script: str) -> dict[str, str]:
    """Return the foreign packages that a script reaches, each with a file that imports it.

    What stands at the head of a module always counts; what a function imports counts if the function is reached.
    """
    path = ROOT / "scripts" / f"{script}.py"
    todo: list[tuple[ast.AST, str]] = []
    waiting: dict[str, list[tuple[ast.AST, str]]] = {}
    for file in [path, *sorted(import_closure(path))]:
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                waiting.setdefault(node.name, []).append((node, file.name))
            elif not (isinstance(node, ast.If) and "TYPE_CHECKING" in identifiers(node.test)):
                todo.append((node, file.name))
    found: dict[str, str] = {}
    names: set[str] = set()
    while todo:
        node, file = todo.pop()
        found |= dict.fromkeys(modules(node), file)
        if isinstance(node, ast.Import | ast.ImportFrom):
            continue  # names a function without reaching it
        for name in identifiers(node) - names:
            names.add(name)
            todo += waiting.pop(name, [])
    ours = {"pathgptomic", *HOST, *sys.stdlib_module_names}
    return {name: file for name, file in found.items() if name not in ours}


@functools.cache
def distributions() -> dict[str, set[str]]:
    """Return the distributions that give a module."""
    given = importlib.metadata.packages_distributions()
    return {module: {normal(name) for name in names} for module, names in given.items()}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_an_environment_is_a_conda_file_with_exact_pins(name: str):
    environment = read(name)
    assert environment.keys() == {"channels", "dependencies"}
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    *conda, pip = environment["dependencies"]
    assert conda == ["python=3.11", "pip"]
    assert pip.keys() == {"pip"}
    assert [pin for pin in pip["pip"] if not EXACT.fullmatch(pin)] == []
    names = [pin.partition("==")[0].lower() for pin in pip["pip"]]
    assert names == sorted(set(names))


def test_every_rule_with_a_script_is_looked_at():
    text = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    assert {script for script, _ in deployed()} == set(re.findall(r"scripts/(\w+)\.py", text))


@pytest.mark.parametrize(("script", "environment"), deployed())
def test_a_stage_pins_what_its_scripts_import(script: str, environment: str):
    pins = set().union(*(pinned(name) for name in environment.split()))
    missing = {
        f"{name} (in {file})"
        for name, file in imported(script).items()
        if not distributions().get(name, {normal(name)}) & pins
    }
    assert not missing, f"envs/{environment}.yaml lacks {', '.join(sorted(missing))}"


def test_the_images_that_rules_name_are_those_that_are_built():
    rules = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    named = set(re.findall(r'IMAGES\["(\w+)"\]', rules))
    assert named | {"genomics", "scgpt"} == images("containers").keys() == set(ENVIRONMENTS) - {"dev", "workflow"}


def test_missing_image_files_are_refused_and_registries_are_not(tmp_path: Path):
    (tmp_path / "cohort.sif").touch()
    refuse_missing_images([str(tmp_path / "cohort.sif"), "docker://registry/lab/report:1"])
    with pytest.raises(ConfigError, match="report.sif do not exist; build them"):
        refuse_missing_images([str(tmp_path / name) for name in ("cohort.sif", "report.sif")])
