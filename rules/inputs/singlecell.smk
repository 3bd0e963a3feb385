# What the rules of ../singlecell.smk read and are told: named functions of their wildcards.
from pathgptomic.config import resolve

REFERENCES = CONFIG["singlecell"]["references"]
SIMULATED_CELLS = [name for name, cohort in COHORTS.items() if cohort["simulate"]]
# Not part of what a reference is: a change redoes the mixtures and leaves the cells alone
MIXTURE_KEY = "mixtures"


def reference_files(wildcards):
    """Return the file of a reference that is one, nothing for the Census."""
    reference = REFERENCES[wildcards.reference]
    if reference["source"] == "census":
        return {}
    return {"file": resolve(CONFIG, reference["path"])}


def reference_settings(wildcards):
    """Return what a reference is, without its mixtures."""
    reference = REFERENCES[wildcards.reference]
    return {key: value for key, value in reference.items() if key != MIXTURE_KEY}


def mixture_settings(wildcards):
    """Return how the mixtures of a reference are made."""
    return REFERENCES[wildcards.reference][MIXTURE_KEY]


def downloads(wildcards):
    """Return 1 for a reference that comes over the network."""
    reference = REFERENCES[wildcards.reference]
    return int(reference["source"] == "census" and not reference["census"]["uri"])


def simulated_cohort(wildcards):
    """Return the `simulate` section of the cohort that the cells belong to."""
    return COHORTS[wildcards.cohort]["simulate"]
