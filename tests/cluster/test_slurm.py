"""`snakemake --profile slurm` on a real Slurm, asked afterwards what it did. Run by `make cluster`."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pathgptomic.slurm import cancel, queued
from tests.cluster import slurm
from tests.workflow.test_workflow import copy_clone

pytestmark = pytest.mark.cluster
HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FOLDER = Path(tempfile.gettempdir()) / "pathgptomic-slurm"
LIMIT = 900  # seconds that any one run of Snakemake may take
PARTITIONS = """\
partitions:
  cpu: {max_runtime: 1440, max_mem_mb: 16000, max_threads: 4}
  gpu: {max_runtime: 1440, max_mem_mb: 32000, max_threads: 4, max_gpu: 2}
"""
# what the tests change of the profile: no images, and a scheduler that is asked often
OPTIONS = ["--profile", "slurm", "--sdm", "env-modules", "--slurm-init-seconds-before-status-checks", "2"]
OPTIONS += ["--latency-wait", "10"]
SMALL = """\
cohorts: [demo-tables]
survival:
  models: {clinical: {title: Clinical network, modalities: [clinical]}}
  baselines: [clinical-cox]
report: {bootstrap: 100}
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """A running Slurm; one that ran before is left running."""
    if os.geteuid() or not shutil.which("apt-get"):
        pytest.skip("a Slurm of our own needs root and Debian's packages")
    link = Path("/etc/slurm/slurm.conf")
    if link.exists() and link.resolve().parent != FOLDER:
        pytest.skip(f"{link} belongs to another Slurm")
    ran = slurm.alive(FOLDER / "run" / "slurmctld.pid")
    try:
        slurm.install()
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"Slurm's packages cannot be installed here: {error}")
    slurm.up(FOLDER)
    yield FOLDER
    if not ran:
        slurm.down(FOLDER, wipe=True)


@pytest.fixture
def probes(cluster: Path, tmp_path: Path) -> Path:
    """A folder with the small rules, the profile of the clone and a partition file."""
    shutil.copy(HERE / "probes.smk", tmp_path / "Snakefile")
    shutil.copytree(ROOT / "config" / "profiles" / "slurm", tmp_path / "slurm")
    (tmp_path / "partitions.yaml").write_text(PARTITIONS)
    return tmp_path


def start(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    """Start Snakemake in a folder with the profile, and with the partition file if there is one."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("SLURM_CONF", None)
    if (folder / "partitions.yaml").exists():
        environment["SNAKEMAKE_SLURM_PARTITIONS"] = str(folder / "partitions.yaml")
    command = [sys.executable, "-m", "snakemake", *OPTIONS, *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def run(*arguments: str, folder: Path, fails: bool = False) -> str:
    """Run Snakemake to its end and return what it printed."""
    process = start(*arguments, folder=folder)
    try:
        output = process.communicate(timeout=LIMIT)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        output = process.communicate()[0]
        if left := queued(folder):
            cancel(left)
        pytest.fail(f"no end after {LIMIT} s:\n{output[-4000:]}")
    assert bool(process.returncode) == fails, output[-6000:]
    return output


def probe(rule: str, *config: str) -> list[str]:
    """Return the arguments that run one of the small rules."""
    return [rule, "--config", f"scripts={ROOT / 'scripts'}", *config]


def jobs(folder: Path) -> list[dict[str, str]]:
    """Return what the accounting database says of the jobs that were submitted in a folder, once all have ended."""
    fields = ["JobIDRaw", "Comment", "State", "ReqMem", "Timelimit", "NodeList", "Partition", "AllocTRES", "WorkDir"]
    command = ["sacct", "-X", "-n", "-P", "-S", "now-1hour", f"--format={','.join(fields)}"]

    def look() -> list[dict[str, str]]:
        rows = [dict(zip(fields, line.split("|"), strict=True)) for line in slurm.output(*command).splitlines()]
        return [row for row in rows if Path(row["WorkDir"]).resolve() == folder.resolve()]

    slurm.wait(lambda: not any(row["State"] in {"PENDING", "RUNNING"} for row in look()), "sacct", seconds=30)
    return look()


def wait(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition, longer than the daemons need."""
    slurm.wait(condition, what, seconds=120)


def test_the_demo_runs_and_its_jobs_get_what_the_rules_ask(cluster: Path, tmp_path: Path):
    clone = copy_clone(tmp_path / "clone")
    (clone / "config" / "config.yaml").write_text(SMALL)
    target = "results/demo-tables/evaluation/metrics.tsv"
    run("--", target, folder=clone)
    assert (clone / target).stat().st_size

    found = {row["Comment"].split("_wildcards_")[0].removeprefix("rule_"): row for row in jobs(clone)}
    assert {"simulate_cohort", "build_cohort", "make_splits", "train_model", "fit_baseline"} <= found.keys()
    assert {row["State"] for row in found.values()} == {"COMPLETED"}
    assert {row["Partition"] for row in found.values()} == {"cpu"}
    assert {row["NodeList"] for row in found.values()} <= {"cpu1", "cpu2"}
    asked = {rule: (row["ReqMem"], row["Timelimit"]) for rule, row in found.items()}
    assert asked["train_model"] == ("8000M", "04:00:00")
    assert asked["make_splits"] == ("2000M", "00:30:00")
    assert asked["evaluate_models"] == ("4000M", "00:30:00")
    report = list((clone / "logs" / "slurm").glob("efficiency_report_*.csv"))
    assert len(report) == 1
    assert "rule_train_model" in report[0].read_text()


@pytest.mark.parametrize("dialect", ["gpu", "gres"])
def test_a_job_that_asks_a_gpu_gets_one(probes: Path, dialect: str):
    run(*probe("use_gpu", f"gpu_request={dialect}"), folder=probes)
    assert (probes / "gpu.txt").read_text() == "node=gpu1 gpus=0\n"
    (job,) = jobs(probes)
    assert (job["Partition"], job["NodeList"]) == ("gpu", "gpu1")
    assert "gres/gpu=1" in job["AllocTRES"]


def test_a_job_that_needs_more_memory_gets_the_double_in_a_new_job(probes: Path):
    run(*probe("grow"), folder=probes)
    assert [(row["ReqMem"], row["State"] == "COMPLETED") for row in jobs(probes)] == [("750M", False), ("1500M", True)]


def test_a_timeout_is_reported_with_the_paths_of_its_logs(probes: Path):
    output = run(*probe("oversleep"), "--retries", "0", folder=probes, fails=True)
    assert "SLURM status is: 'TIMEOUT'" in output
    assert "logs/oversleep.log" in output
    assert "still asleep" in output
    path = re.search(r"\S*slurm_logs/rule_oversleep/\S+\.log", output)
    assert path
    assert "TIME LIMIT" in Path(path[0]).read_text()


def test_a_job_that_can_never_start_is_reported_and_cancelled(probes: Path):
    output = run(*probe("too_many_cores"), "--retries", "0", folder=probes, fails=True)
    assert "can never start, says Slurm (PartitionConfig)" in output
    assert "rule_too_many_cores" in output
    assert [row["State"].split()[0] for row in jobs(probes)] == ["CANCELLED"]


def test_more_memory_than_any_node_has_is_refused_at_submission(probes: Path):
    output = run(
        *probe("use_gpu"), "--set-resources", "use_gpu:mem_mb=99000", "--retries", "0", folder=probes, fails=True
    )
    assert "Requested node configuration is not available" in output


def test_jobs_of_a_killed_run_are_cancelled_before_the_next_writes_the_same_file(probes: Path):
    killed = start(*probe("take_time", "pause=200"), folder=probes)
    started = probes / "started.txt"
    wait(started.exists, "the first job")
    killed.send_signal(signal.SIGKILL)
    killed.communicate()

    locked = run(*probe("take_time", "pause=1"), folder=probes, fails=True)
    assert "--unlock" in locked
    run("--unlock", "--config", f"scripts={ROOT / 'scripts'}", folder=probes)
    output = run(*probe("take_time", "pause=1"), folder=probes)
    assert "Cancelling 1 Slurm jobs that an interrupted run left in this folder" in output
    first, second = started.read_text().split()
    states = {row["JobIDRaw"]: row["State"].split()[0] for row in jobs(probes)}
    assert states == {first: "CANCELLED", second: "COMPLETED"}
    assert (probes / "slow.txt").read_text() == "whole\n"
