# What every rule file uses: the checked configuration, the images, resources by attempt, the digest of the code.
import sys

from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))
from pathgptomic.config import ConfigError, load
from pathgptomic.deployment import images, refuse_both_deployments
from pathgptomic.digest import code_digest
from pathgptomic.resources import hours, mem_gb, minutes

try:
    refuse_both_deployments(workflow.deployment_settings.deployment_method)
    CONFIG, COHORTS = load(config, Path(workflow.basedir))
except ConfigError as error:
    raise WorkflowError(f"the run cannot start:\n{error}")

IMAGES = images(CONFIG["containers"])


wildcard_constraints:
    cohort="|".join(COHORTS),
    batch=r"\d+",
