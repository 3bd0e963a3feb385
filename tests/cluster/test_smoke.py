"""The one test on a real Slurm that belongs to every test run, where its packages can be installed.

It installs, starts and stops the whole cluster, submits through the shipped profile, and asks the accounting database
what a job got. All that a job can go wrong with is in test_slurm.py, run by `make cluster`.
"""

from pathlib import Path

from tests.cluster.runs import jobs, probe, probes, run


def test_a_job_that_asks_a_gpu_gets_one(cluster: Path, tmp_path: Path):
    folder = probes(tmp_path)
    run(*probe("use_gpu", "gpu_request=gpu"), folder=folder)
    assert (folder / "gpu.txt").read_text() == "node=gpu1 gpus=0\n"
    (job,) = jobs(folder)
    assert job["State"] == "COMPLETED"
    assert (job["Partition"], job["NodeList"]) == ("gpu", "gpu1")
    assert (job["ReqMem"], job["Timelimit"]) == ("1000M", "00:05:00")
    assert "gres/gpu=1" in job["AllocTRES"]
