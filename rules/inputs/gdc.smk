# What the rules of ../gdc.smk read and are told: named functions of their wildcards.
from pathgptomic.cohort.gdc.checks import encodes_slides, mirror_of
from pathgptomic.config import cohort_folder, resolve
from pathgptomic.slides.registry import card

FROM_GDC = [name for name, cohort in COHORTS.items() if cohort["source"] == "gdc"]
SIMULATED = [name for name, cohort in COHORTS.items() if cohort["simulate"]]
GDC_SLIDES = [name for name in FROM_GDC if encodes_slides(COHORTS[name])]
MADE_UP_TABLES = [name for name in SIMULATED if name not in FROM_GDC]
MADE_UP_MIRRORS = [name for name in SIMULATED if name in FROM_GDC]
MOLECULAR = ("expression", "cnv", "mutations")
BUILD_KEYS = (
    "gdc",
    "covariates",
    "site",
    "stratum",
    "modalities",
    "missing",
    "splits",
    "audit",
)


def simulation_settings(wildcards):
    """Return the `simulate` section of the cohort."""
    return COHORTS[wildcards.cohort]["simulate"]


def gdc_settings(wildcards):
    """Return the `gdc` section of the cohort."""
    return COHORTS[wildcards.cohort]["gdc"]


def gdc_access(wildcards):
    """Return how the GDC is reached; a token is named by its file only."""
    return CONFIG["gdc"]


def gdc_mirror(wildcards):
    """Return the folder that stands in for the GDC, or nothing."""
    return mirror_of(CONFIG, COHORTS[wildcards.cohort])


def gdc_folder(wildcards):
    """Return the folder that the files of the cohort are in."""
    return gdc_mirror(wildcards) or CONFIG["gdc"]["folder"]


def gdc_modalities(wildcards):
    """Return the modalities of the cohort."""
    return COHORTS[wildcards.cohort]["modalities"]


def molecular_modalities(wildcards):
    """Return the modalities of the cohort that are small files."""
    return [name for name in gdc_modalities(wildcards) if name in MOLECULAR]


def lock_inputs(wildcards):
    """Return the cohort's committed lock, and the mirror where it is made by a rule of this run."""
    lock = (
        cohort_folder(CONFIG, Path(workflow.basedir)) / f"{wildcards.cohort}.lock.tsv"
    )
    files = {"lock": str(lock)} if lock.is_file() else {}
    if wildcards.cohort in MADE_UP_MIRRORS:
        files["mirror"] = gdc_mirror(wildcards)
    return files


def build_tables(wildcards):
    """Return the tables of your own that a GDC cohort may need beside the GDC."""
    gdc = COHORTS[wildcards.cohort]["gdc"]
    named = {"outcomes": gdc["outcomes"], "positions": gdc["cnv"]["positions"]}
    return {name: resolve(CONFIG, path) for name, path in named.items() if path}


def gdc_build_settings(wildcards):
    """Return what building the cohort needs of the cohort file."""
    return {key: COHORTS[wildcards.cohort][key] for key in BUILD_KEYS}


def room_for_slides(wildcards):
    """Return the batch that must have its features, and so be off the disk, before this one is fetched."""
    earlier = int(wildcards.batch) - CONFIG["gdc"]["slides_ahead"]
    if CONFIG["slides"]["keep_slides"] or gdc_mirror(wildcards) or earlier < 0:
        return {}
    return {"room": f"results/{{cohort}}/slides/batch{earlier}.tsv"}


def encoder_facts(wildcards):
    """Return what the plan says of the tile encoder."""
    known = card(CONFIG["slides"]["encoder"])
    names = (
        "name",
        "dimension",
        "parameters_m",
        "licence",
        "gated",
        "commercial",
        "tcga",
    )
    return {name: getattr(known, name) for name in names}


def scgpt_work(wildcards):
    """Return what scGPT has to embed beside the cohorts: policy, and profiles by form; nothing without adapters."""
    genomics, references = CONFIG["genomics"], CONFIG["singlecell"]["references"]
    if not genomics["adapters"] or genomics["checkpoint"] == "tiny":
        return {}
    used = {adapter["reference"] for adapter in genomics["adapters"].values()} - {""}
    profiles = {}
    for name in sorted(used):
        mixtures = references[name]["mixtures"]
        for form in mixtures["forms"]:
            made = sum(mixtures[part] for part in ("train", "validation", "test"))
            profiles[form] = profiles.get(form, 0) + made
    return {"policy": genomics["policy"], "profiles": profiles}


def other_terms(wildcards):
    """Return sentences on single cells and weights beside those of the slides."""
    found = []
    for name, reference in CONFIG["singlecell"]["references"].items():
        if reference["source"] == "census":
            release = reference["census"]["uri"] or reference["census"]["version"]
            found.append(
                f"reference {name}: CELLxGENE Census {release}, CC BY 4.0, no gate."
            )
    if CONFIG["genomics"]["adapters"] and CONFIG["genomics"]["checkpoint"] != "tiny":
        found.append(
            "scGPT: weights from the authors (no gate, no licence stated of their own), put in place by you; code "
            "under MIT (config/scgpt.md)."
        )
    return found
