# Small rules that end in every way a job can end on Slurm; they use the workflow's own resource functions and guard.
import sys
from pathlib import Path

from snakemake.logging import logger

sys.path.insert(0, config["scripts"])
from pathgptomic.resources import gpu_request, mem_gb, minutes
from pathgptomic.slurm import cancel_orphans, watch


onstart:
    cancel_orphans(Path.cwd(), logger)
    watch(Path.cwd(), logger, seconds=2)


rule use_gpu:
    output:
        "gpu.txt",
    log:
        "logs/gpu.log",
    resources:
        **gpu_request("cuda", config.get("gpu_request", "gpu")),
        mem_mb=mem_gb(1),
        runtime=minutes(5),
    shell:
        "echo node=$SLURMD_NODENAME gpus=$CUDA_VISIBLE_DEVICES > {output}"


# 700 MB beside Snakemake itself: too much for the first attempt, not for the second
rule grow:
    output:
        "grown.txt",
    log:
        "logs/grow.log",
    resources:
        mem_mb=mem_gb(0.75),
        runtime=minutes(5),
    shell:
        "python -c 'import time; block = bytearray(700_000_000); time.sleep(5)' 2> {log} && echo done > {output}"


rule oversleep:
    output:
        "overslept.txt",
    log:
        "logs/oversleep.log",
    resources:
        mem_mb=mem_gb(1),
        runtime=1,
    shell:
        "(echo still asleep; sleep 300) > {log} && echo done > {output}"


rule too_many_cores:
    output:
        "never.txt",
    log:
        "logs/never.log",
    threads: 20
    resources:
        mem_mb=mem_gb(1),
        runtime=minutes(5),
    shell:
        "echo done > {output}"


rule prepare:
    output:
        "prepared.txt",
    log:
        "logs/prepare.log",
    resources:
        mem_mb=mem_gb(1),
        runtime=minutes(5),
    shell:
        "echo done > {output}"


# each run appends its start to a file, so that two that overlap are seen
rule take_time:
    input:
        "prepared.txt",
    output:
        "slow.txt",
    log:
        "logs/slow.log",
    resources:
        mem_mb=mem_gb(1),
        runtime=minutes(5),
    shell:
        "echo half > {output}; echo $SLURM_JOB_ID >> started.txt; sleep {config[pause]}; echo whole > {output}"
