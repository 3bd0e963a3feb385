"""The rules of the house that a machine can check."""

import ast
import importlib.util
from pathlib import Path

import pytest

from pathgptomic.config import ConfigError
from pathgptomic.deployment import images, refuse_both_deployments
from pathgptomic.files import atomic
from pathgptomic.resources import hours, mem_gb, minutes
from pathgptomic.seeds import derive, rng


def test_a_script_holds_imports_and_one_block(root: Path):
    scripts = sorted((root / "scripts").glob("*.py"))
    assert scripts
    for path in scripts:
        text = path.read_text()
        tree = ast.parse(text)
        assert len(text.splitlines()) <= 30, f"{path.name} is longer than 30 lines"
        assert ast.get_docstring(tree), f"{path.name} does not say what it is for"
        kinds = [type(node) for node in tree.body[1:]]
        assert set(kinds) <= {ast.Import, ast.ImportFrom, ast.With}, f"{path.name} holds logic"
        assert kinds.count(ast.With) == 1


def test_every_rule_with_a_script_has_the_script_of_its_name(root: Path):
    named = {line.strip() for path in (root / "rules").glob("*.smk") for line in path.read_text().splitlines()}
    scripts = {line.strip('"').removeprefix("../scripts/") for line in named if line.startswith('"../scripts/')}
    assert scripts <= {path.name for path in (root / "scripts").glob("*.py")}
    assert scripts


def test_stages_do_not_import_one_another(root: Path):
    package = root / "scripts" / "pathgptomic"
    # the one exception of the house: tables of the cohort are read by everybody
    for path in package.glob("*/**/*.py"):
        stage = path.relative_to(package).parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pathgptomic."):
                other = node.module.split(".")[1]
                is_stage = (package / other).is_dir()
                assert not is_stage or other in {stage, "cohort"} or "simulate" in path.parts, (
                    f"{path} imports {node.module}"
                )


def _write_half(path: Path) -> None:
    with atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError


@pytest.mark.parametrize("end", ["good", "bad"])
def test_atomic_leaves_a_whole_file_or_the_old_one(tmp_path: Path, end: str):
    path = tmp_path / "table.tsv"
    path.write_text("old")
    if end == "good":
        with atomic(path) as temporary:
            temporary.write_text("new")
    else:
        with pytest.raises(RuntimeError):
            _write_half(path)
    assert path.read_text() == ("new" if end == "good" else "old")
    assert [other.name for other in tmp_path.iterdir()] == ["table.tsv"]


def test_atomic_replaces_a_folder(tmp_path: Path):
    for text in ("one", "two"):
        with atomic(tmp_path / "bundle") as temporary:
            temporary.mkdir()
            (temporary / text).write_text(text)
    assert [path.name for path in (tmp_path / "bundle").iterdir()] == ["two"]


def test_seeds_depend_on_every_part_of_the_purpose():
    assert derive(17, "a", 1) == derive(17, "a", 1)
    assert len({derive(17, "a", 1), derive(17, "a", 2), derive(18, "a", 1), derive(17, "a1"), derive(17, "b", 1)}) == 5
    assert rng(17, "x").random() == rng(17, "x").random()


def test_resources_double_with_the_attempt():
    assert [mem_gb(4)(None, attempt) for attempt in (1, 2, 3)] == [4000, 8000, 16000]
    assert [minutes(30)(None, 1), hours(2)(None, 2)] == [30, 240]


def test_images_come_from_a_folder_or_a_registry():
    assert images("containers")["survival"] == "containers/survival.sif"
    assert images("docker://ghcr.io/lab/pathgptomic")["report"].startswith("docker://ghcr.io/lab/pathgptomic/report:")


def test_conda_and_apptainer_at_once_are_refused():
    from snakemake.settings.types import DeploymentMethod

    refuse_both_deployments({DeploymentMethod.CONDA})
    refuse_both_deployments({DeploymentMethod.APPTAINER})
    with pytest.raises(ConfigError, match="name one of them"):
        refuse_both_deployments({DeploymentMethod.CONDA, DeploymentMethod.APPTAINER})


def test_installer_refuses_pins_that_contradict_each_other(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    spec = importlib.util.spec_from_file_location("install", root / "envs" / "install.py")
    installer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(installer)
    everything = installer.pins(
        [path.stem for path in (root / "envs").glob("*.yaml") if path.stem not in installer.APART]
    )
    assert everything[0].startswith("torch==")
    for name, version in (("one", "1.0"), ("two", "2.0")):
        (tmp_path / f"{name}.yaml").write_text(f"dependencies:\n  - pip:\n      - numpy=={version}\n")
    monkeypatch.setattr(installer, "ENVS", tmp_path)
    with pytest.raises(SystemExit, match="give both the same version"):
        installer.pins(["one", "two"])
