"""`snakemake --profile slurm` on a real Slurm, asked afterwards what it did. Run by `make cluster`."""

import re
import signal
from pathlib import Path

import pytest

from tests.cluster.runs import ROOT, jobs, moment, probe, probes, run, small_clone, start, wait
from tests.workflow.test_workflow import local_rules

pytestmark = pytest.mark.cluster


@pytest.fixture
def folder(cluster: Path, tmp_path: Path) -> Path:
    """Return a folder in which the small rules run."""
    return probes(tmp_path)


def test_the_demo_runs_and_its_jobs_get_what_the_rules_ask(cluster: Path, tmp_path: Path):
    clone = small_clone(tmp_path / "clone", "transfer: transfer")
    run(folder=clone)
    assert (clone / "results" / "demo" / "report" / "report.html").stat().st_size

    rows = jobs(clone)
    assert {row["State"] for row in rows} == {"COMPLETED"}
    found = {row["Comment"].split("_wildcards_")[0].removeprefix("rule_"): row for row in rows}
    stages = {"build_gdc_cohort", "mix_cells", "train_adapter", "embed_slides", "train_model", "evaluate_models"}
    assert stages <= found.keys()
    assert not local_rules(clone) & found.keys()
    network = {"lock_cohort", "fetch_files", "fetch_slides", "fetch_cells"}
    assert {found[rule]["Partition"] for rule in network} == {"transfer"}
    assert {row["Partition"] for rule, row in found.items() if rule not in network} == {"cpu"}
    asked = {rule: (row["ReqMem"], row["Timelimit"]) for rule, row in found.items()}
    assert asked["train_model"] == ("8000M", "04:00:00")
    assert asked["embed_slides"] == ("8000M", "12:00:00")
    assert asked["make_splits"] == ("2000M", "00:30:00")
    assert "cpu=4" in found["embed_slides"]["AllocTRES"]
    report = list((clone / "logs" / "slurm").glob("efficiency_report_*.csv"))
    assert len(report) == 1
    assert "rule_train_model" in report[0].read_text()


def test_the_other_dialect_gets_a_gpu_too(folder: Path):
    run(*probe("use_gpu", "gpu_request=gres"), folder=folder)
    assert (folder / "gpu.txt").read_text() == "node=gpu1 gpus=0\n"
    (job,) = jobs(folder)
    assert (job["Partition"], job["NodeList"]) == ("gpu", "gpu1")
    assert "gres/gpu=1" in job["AllocTRES"]


def test_a_job_that_needs_more_memory_gets_the_double_in_a_new_job(folder: Path):
    run(*probe("grow"), folder=folder)
    assert [(row["ReqMem"], row["State"] == "COMPLETED") for row in jobs(folder)] == [("750M", False), ("1500M", True)]


def test_a_timeout_is_reported_with_the_paths_of_its_logs(folder: Path):
    output = run(*probe("oversleep"), "--retries", "0", folder=folder, fails=True)
    assert "SLURM status is: 'TIMEOUT'" in output
    assert "logs/oversleep.log" in output
    assert "still asleep" in output
    path = re.search(r"\S*slurm_logs/rule_oversleep/\S+\.log", output)
    assert path
    assert "TIME LIMIT" in Path(path[0]).read_text()
    (job,) = jobs(folder)
    assert (job["State"], job["Timelimit"]) == ("TIMEOUT", "00:01:00")


def test_a_job_that_can_never_start_is_reported_and_cancelled(folder: Path):
    output = run(*probe("too_many_cores"), "--retries", "0", folder=folder, fails=True)
    assert "can never start, says Slurm (PartitionConfig)" in output
    assert "rule_too_many_cores" in output
    assert [row["State"].split()[0] for row in jobs(folder)] == ["CANCELLED"]


def test_more_memory_than_any_node_has_is_refused_at_submission(folder: Path):
    asked = ["--set-resources", "use_gpu:mem_mb=99000", "--retries", "0"]
    output = run(*probe("use_gpu"), *asked, folder=folder, fails=True)
    assert "Requested node configuration is not available" in output


def test_after_a_killed_run_nothing_is_lost_and_nothing_runs_twice_at_once(folder: Path):
    killed = start(*probe("take_time", "pause=200"), folder=folder)
    started = folder / "started.txt"
    wait(started.exists, "the second job")
    killed.send_signal(signal.SIGKILL)
    killed.communicate()

    locked = run(*probe("take_time", "pause=1"), folder=folder, fails=True)
    assert "--unlock" in locked
    run("--unlock", "--config", f"scripts={ROOT / 'scripts'}", folder=folder)
    output = run(*probe("take_time", "pause=1"), folder=folder)
    assert "Cancelling 1 Slurm jobs that an interrupted run left in this folder" in output
    assert (folder / "slow.txt").read_text() == "whole\n"
    # the first step was not repeated, the second was, after the orphan had ended
    rows = {row["JobIDRaw"]: row for row in jobs(folder)}
    orphan, again = started.read_text().split()
    states = {number: row["State"].split()[0] for number, row in rows.items()}
    (first,) = states.keys() - {orphan, again}
    assert states == {first: "COMPLETED", orphan: "CANCELLED", again: "COMPLETED"}
    assert moment(rows[orphan]["End"]) <= moment(rows[again]["Start"])
