"""Files of others: no code in them is run, and no id in them reaches a shell or a path outside the run folder."""

import ast
import contextlib
import importlib
import pickle
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from pathgptomic.cohort.gdc.checks import sentences
from pathgptomic.genomics.checkpoint import _read_weights, read_checkpoint
from pathgptomic.genomics.tiny_checkpoint import make_tiny_checkpoint
from pathgptomic.singlecell.simulate import simulate_cells
from pathgptomic.timm_weights import read_weights
from tests.conftest import ROOT
from tests.unit.cohort.facility import Facility

PACKAGE = ROOT / "scripts" / "pathgptomic"
MODULES = sorted(PACKAGE.rglob("*.py"))
NO_IDS = ["../../outside", "/etc/x", "a\\b", "..", ".hidden", "two\nlines", "a\x1b[2Jb", "x" * 256, "é" * 100]
ODD_IDS = [
    "a;rm -rf results",
    "$(touch MARK)",
    "`touch MARK`",
    "-rf",
    "<script>alert(1)<",
    "Ärztin 7",
    "a'b\"c",
    "{x}",
]


def calls(tree: ast.AST) -> list[tuple[str, ast.Call]]:
    """Return the calls of a module with the dotted names of what is called."""
    return [(ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def safe_loader(path: Path, call: ast.Call) -> bool:
    """Tell whether a call of yaml.load names a loader of its module that makes plain values only."""
    name = path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")
    loader = getattr(importlib.import_module(f"pathgptomic.{name}"), ast.unparse(call.args[1]))
    return issubclass(loader, yaml.constructor.SafeConstructor)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_loads_pickles_opens_archives_or_starts_a_shell(path: Path):
    tree = ast.parse(path.read_text())
    for name, call in calls(tree):
        options = {word.arg: ast.unparse(word.value) for word in call.keywords}
        assert name != "torch.load" or options.get("weights_only") == "True"
        assert options.get("allow_pickle", "False") == "False"
        assert options.get("shell", "False") == "False"
        assert name != "yaml.load" or safe_loader(path, call)
        assert name not in {
            "eval",
            "exec",
            "os.system",
            "os.popen",
            "pd.read_pickle",
            "pandas.read_pickle",
        }
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        bad = {"pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal", "zipfile", "tarfile"} & set(names)
        only_the_error = isinstance(node, ast.ImportFrom) and [alias.name for alias in node.names] == [
            "UnpicklingError"
        ]
        assert not bad or only_the_error


def test_no_rule_has_a_shell_command():
    for path in (ROOT / "rules").rglob("*.smk"):
        assert "shell:" not in path.read_text(), path.name
        assert "run:" not in [line.strip() for line in path.read_text().splitlines()], path.name


class Hostile:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("kind", ["plain pickle", "torch file"])
def test_a_checkpoint_that_holds_code_is_not_opened(tmp_path: Path, kind: str):
    mark = tmp_path / "mark"
    simulate_cells(settings={"patients": 4, "genes": 120}, seed=1, donors=3, cells=2, path=str(tmp_path / "cells.h5ad"))
    make_tiny_checkpoint(expression=[str(tmp_path / "cells.h5ad")], folder=str(tmp_path / "scgpt"), seed=1)
    weights = tmp_path / "scgpt" / "best_model.pt"
    assert read_checkpoint(tmp_path / "scgpt").weights
    if kind == "plain pickle":
        weights.write_bytes(pickle.dumps({"weight": Hostile(mark)}))
    else:
        torch.save({"weight": torch.ones(2), "other": Hostile(mark)}, weights)
    with pytest.raises(ValueError, match="holds more than weights"):
        read_checkpoint(tmp_path / "scgpt")
    with pytest.raises(ValueError, match="holds more than weights"):
        _read_weights(weights, None)
    with pytest.raises(ValueError, match="holds more than weights"):
        read_weights(weights)
    assert not mark.exists()
    # the file is what it seems: whoever opens it without care runs its code
    with contextlib.suppress(RuntimeError):
        torch.load(weights, weights_only=False)
    assert mark.exists()


def rename_first(facility: Facility, name: str) -> None:
    """Give the first patient of a facility another id in all its tables."""
    first = facility.clinical.index[0]
    for table in ("clinical", "expression", "cnv", "mutations", "splits"):
        frame: pd.DataFrame = getattr(facility, table)
        frame.rename(index={first: name}).to_csv(facility.folder / f"{table}.csv")


@pytest.mark.parametrize("name", NO_IDS)
def test_a_patient_id_that_is_no_plain_name_is_refused(tmp_path: Path, name: str):
    (tmp_path / "run").mkdir()
    facility = Facility(tmp_path / "run")
    rename_first(facility, name)
    with pytest.raises(ValueError, match=r"patient id|null byte|NUL|nul") as caught:
        facility.build()
    assert len(str(caught.value).splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"run"}


@pytest.mark.parametrize("name", ODD_IDS)
def test_an_odd_patient_id_is_an_id_like_others(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    facility = Facility(tmp_path)
    rename_first(facility, name)
    built = facility.build()
    assert name in built.patients.index
    assert not (tmp_path / "MARK").exists()


@pytest.mark.parametrize("name", NO_IDS)
def test_a_slide_id_that_is_no_plain_name_is_refused(tmp_path: Path, name: str):
    from pathgptomic.cohort.tables import read_slides

    table = pd.DataFrame({"patient_id": ["P1"], "slide_id": [name], "path": ["x.svs"]})
    table.to_csv(tmp_path / "slides.tsv", sep="\t", index=False)
    with pytest.raises(ValueError, match="slide id"):
        read_slides(tmp_path / "slides.tsv")


def test_an_address_with_a_password_is_refused():
    gdc = {"base_url": "https://me:secret@proxy.example/gdc", "token_file": None, "mirror": None}
    cohort = {"gdc": None}
    assert list(sentences({"gdc": gdc}, cohort)) == ["the source gdc needs `gdc.projects`; add it."]
    from pathgptomic.config import compose_schemas, with_defaults

    schema, cohort_schema = compose_schemas(ROOT / "config" / "schemas")
    config = with_defaults({"gdc": gdc}, schema)
    cohort = with_defaults({"title": "x", "source": "gdc", "gdc": {"projects": ["X"]}}, cohort_schema)
    found = " ".join(sentences(config, cohort))
    assert "holds a password" in found
    assert "secret" not in found
