"""What Snakemake leaves to the user of a Slurm cluster: jobs that outlived it, and jobs that can never start.

Both make a run wait for ever or write the same files twice, without a word. Snakemake holds the lock of the working
directory when this is called, so any job of a rule that is queued from this directory belongs to a run that is gone.
"""

import re
import subprocess
import threading
import time
from collections import Counter
from logging import Logger
from pathlib import Path
from typing import NamedTuple

# reasons of a pending job that waiting does not change (squeue(1), JOB REASON CODES)
HOPELESS = re.compile(
    r"PartitionConfig|Partition(?:Node|Time)Limit|BadConstraints|Invalid(?:Account|QOS)|DependencyNeverSatisfied"
    r"|(?:Assoc|QOS)Max\w+PerJob\w*"
)
LOOKS = 3  # consecutive looks with such a reason before a job is cancelled: nodes may just be rebooting


class Job(NamedTuple):
    """A job in the queue."""

    number: str
    state: str
    reason: str
    rule: str


def queued(folder: Path) -> list[Job]:
    """Return the jobs of rules that this user has in the queue with `folder` as working directory."""
    command = ["squeue", "--me", "--noheader", "--format=%i|%T|%r|%k|%Z"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    fields = [line.strip().split("|", 4) for line in answer.splitlines()]
    return [Job(*job[:4]) for job in fields if len(job) == 5 and job[3].startswith("rule_") and same(job[4], folder)]


def same(text: str, folder: Path) -> bool:
    """Tell whether a path of Slurm's leads to `folder`."""
    return Path(text).resolve() == folder.resolve()


def cancel(jobs: list[Job]) -> None:
    """Cancel jobs; those that have ended meanwhile are passed over."""
    subprocess.run(["scancel", "--quiet", *(job.number for job in jobs)], capture_output=True, timeout=60)


def cancel_orphans(folder: Path, logger: Logger, seconds: float = 120) -> None:
    """Cancel what an interrupted run has left in the queue, and wait until it is gone.

    Raises
    ------
    TimeoutError
        If a job does not end.
    """
    end = time.monotonic() + seconds
    orphans = queued(folder)
    if orphans:
        names = ", ".join(f"{job.number} ({job.rule})" for job in orphans)
        logger.warning(f"Cancelling {len(orphans)} Slurm jobs that an interrupted run left in this folder: {names}.")
        cancel(orphans)
    while orphans := queued(folder):
        if time.monotonic() > end:
            numbers = " ".join(job.number for job in orphans)
            raise TimeoutError(f"Slurm jobs of an interrupted run do not end: {numbers}; end them (scancel) and rerun.")
        time.sleep(1)


def watch(folder: Path, logger: Logger, seconds: float = 60) -> threading.Thread:
    """Look at the queue every so many seconds, and cancel jobs that can never start, in a thread of its own.

    A cancelled job is a failed job to Snakemake, which then ends as it would after any other failure.
    """
    thread = threading.Thread(target=_watch, args=(folder, logger, seconds), daemon=True, name="slurm-watch")
    thread.start()
    return thread


def _watch(folder: Path, logger: Logger, seconds: float) -> None:
    looks: Counter[str] = Counter()
    while True:
        time.sleep(seconds)
        try:
            hopeless = {job.number: job for job in queued(folder) if job.state == "PENDING" and stuck(job)}
        except (OSError, subprocess.SubprocessError):
            continue  # a busy scheduler; Snakemake's own status checks tell the user
        looks = Counter({number: looks[number] + 1 for number in hopeless})
        for job in (hopeless[number] for number, count in looks.items() if count == LOOKS):
            logger.error(
                f"Slurm job {job.number} ({job.rule}) can never start, says Slurm ({job.reason}), and is cancelled; "
                "compare its threads, memory, time and GPUs with the partition (scontrol show partition)."
            )
            cancel([job])


def stuck(job: Job) -> bool:
    """Tell whether waiting does not help a pending job."""
    return HOPELESS.fullmatch(job.reason) is not None


def guard(executor: str, folder: Path, logger: Logger) -> None:
    """Do both at the start of a run, if its jobs go to Slurm."""
    if executor == "slurm":
        cancel_orphans(folder, logger)
        watch(folder, logger)
