"""Every command of the README and the guides, as a new user would try it; Snakemake and make plan it without doing it.

Commands are the lines of fences marked `sh` and the code spans that begin with the name of a program. What cannot be
tried here is named in the page itself, in a comment `<!-- not run by the tests, REASON: COMMAND; COMMAND -->`.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflow.test_workflow import copy_clone

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "docs/deployment.md", "config/README.md")
PROGRAMS = (
    "snakemake",
    "make",
    "python",
    "PYTHONPATH=scripts",
    "generate-slurm-partition-config",
    "export",
    "source",
    "cp",
)
# what stands for something of the reader's
NAMES = {
    "NAME": "demo",
    "COHORT": "demo",
    "MODEL": "by-attention",
    "FOLDER": "folder",
    "...": "--config cohorts=[tcga-lihc]",
}
PREDICTION = """\
survival:
  predict: {cohort: demo, model: genomics, tables: {expression: new.tsv, cnv: new.tsv, mutations: new.tsv}}
"""
ATTENTION = "survival: {models: {by-attention: {modalities: [slides], pooling: attention}}}\n"


def fences(text: str, language: str) -> list[str]:
    """Return the content of the fences of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def commands(page: str) -> list[str]:
    """Return the commands of a page, without their comments, those left out that it says cannot be tried."""
    text = (ROOT / page).read_text()
    left_out = {
        command.strip()
        for listed in re.findall(r"<!-- not run by the tests[^:]*: (.*?) -->", text, re.S)
        for command in listed.split(";")
    }
    lines = [line for block in fences(text, "sh") for line in block.splitlines()]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
    lines += [span for span in spans if span.split()[0] in PROGRAMS and (" " in span or span == "snakemake")]
    found = dict.fromkeys(re.sub(r"\s+#.*", "", line).strip() for line in lines)
    assert left_out <= found.keys(), f"{page} names {left_out - found.keys()}, which it does not hold"
    return [command for command in found if command and command not in left_out]


ALL = [(page, command) for page in PAGES for command in commands(page)]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with the cohort files that the pages show, and what a reader would have beside them."""
    clone = copy_clone(tmp_path_factory.mktemp("docs") / "clone")
    for page in PAGES:
        for block in fences((ROOT / page).read_text(), "yaml"):
            if named := re.match(r"# (config/cohorts/\S+)\n", block):
                (clone / named[1]).write_text(block)
    (clone / "Makefile").write_text((ROOT / "Makefile").read_text())
    (clone / ".venv").symlink_to(sys.prefix)
    (clone / "my-prediction.yaml").write_text(PREDICTION)
    (clone / "new.tsv").write_text("patient_id\tTP53\nP1\t1\n")
    (clone / "extra.yaml").write_text(ATTENTION)
    return clone


def test_every_fence_says_what_it_is():
    for page in PAGES:
        opened = re.findall(r"^```(.*)$", (ROOT / page).read_text(), re.M)[::2]
        assert set(opened) <= {"sh", "yaml", "text"}, f"{page}: {opened}"


def test_the_pages_hold_commands():
    assert {page for page, _ in ALL} == set(PAGES)
    assert len(ALL) > 20


@pytest.mark.parametrize(("page", "command"), ALL)
def test_a_command_of_the_documentation_works(clone: Path, page: str, command: str):
    for name, value in NAMES.items():
        command = re.sub(rf"(?<![A-Z_]){re.escape(name)}(?![A-Z_])", value, command)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    program = command.split()[0]
    if program == "snakemake":
        before, dashes, targets = command.partition(" -- ")
        added = " -n --configfile extra.yaml" if "MODEL" in page or "by-attention" in command else " -n"
        command = before if "--unlock" in before else f"{before}{added}{dashes}{targets}"
    elif program == "make":
        command = command.replace("make", "make -n", 1)
    elif program == "generate-slurm-partition-config":
        command = f"{program} --help"
    elif program in ("export", "source", "cp"):
        command = f"bash -n -c {shlex.quote(command)}"
    run = subprocess.run(["bash", "-c", command], cwd=clone, env=environment, capture_output=True, text=True)
    output = run.stdout + run.stderr
    if "my-cohort" in command:
        # the reader's own tables are not here: whatever else the file says is accepted
        sentences = re.findall(r"^- .*", output, re.M)
        assert sentences
        assert all("there is no " in sentence for sentence in sentences), output[-3000:]
        return
    assert run.returncode == 0, output[-3000:]
