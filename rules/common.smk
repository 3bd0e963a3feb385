# What every rule file uses: the checked configuration, the images, resources by attempt, the digest of the code.
import sys

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))
from pathgptomic.config import ConfigError, load
from pathgptomic.deployment import (
    images,
    needed_images,
    refuse_both_deployments,
    refuse_missing_images,
    refuse_unwritable,
)
from pathgptomic.digest import code_digest
from pathgptomic.resources import gpu_request, hours, mem_gb, minutes, network_request
from pathgptomic.slurm import guard

try:
    refuse_both_deployments(workflow.deployment_settings.deployment_method)
    CONFIG, COHORTS = load(config, Path(workflow.basedir))
except ConfigError as error:
    raise WorkflowError(f"the run cannot start:\n{error}")

IMAGES = images(CONFIG["containers"])
# on `auto` a job takes the GPU that it finds; only `cuda` asks the scheduler for one
GPU = gpu_request(CONFIG["device"], CONFIG["gpu_request"])
NETWORK = network_request(CONFIG["transfer"])
FETCH_LOCALLY = CONFIG["transfer"] == "local"


wildcard_constraints:
    cohort="|".join(COHORTS),
    batch=r"\d+",


onstart:
    try:
        refuse_missing_images(needed_images(workflow))
        refuse_unwritable(["results", "resources", "logs", "benchmarks"])
    except ConfigError as error:
        raise WorkflowError(f"the run cannot start:\n{error}")
    guard(workflow.executor_plugin.name, Path.cwd(), logger)
