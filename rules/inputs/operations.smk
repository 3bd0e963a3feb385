# What the rules of ../operations.smk read and are told: named functions of their wildcards.
sys.path.insert(0, str(Path(workflow.basedir) / "envs"))
from install import pins
from pathgptomic.config import cohort_folder
from pathgptomic.provenance import record_path
from pathgptomic.operations.plan import (
    IMAGES as IMAGE_PLACE,
    census_references,
    mirror_place,
    own_files,
    staged_configuration,
)

OFFLINE = CONFIG["offline"]["folder"]
OFFLINE_ENVIRONMENTS = CONFIG["offline"]["environments"]
# a simulated cohort is simulated on the other host
STAGED = [name for name in FROM_GDC if name not in SIMULATED]
STAGED_SLIDES = [name for name in STAGED if name in GDC_SLIDES]
ENCODER_WEIGHTS = SLIDES["weights"] or FETCHED_WEIGHTS if WITH_SLIDES else None


def fetched_tables(cohort):
    """Return the tables of the files that are fetched for a cohort."""
    slides = [
        f"results/{cohort}/slides/fetched{batch}.tsv"
        for batch in SLIDE_BATCHES
        if cohort in STAGED_SLIDES
    ]
    return [f"results/{cohort}/cohort/fetched.tsv", *slides]


def image_files():
    """Return the images that are there as files, by their place in the staged folder."""
    paths = [Path(address) for address in IMAGES.values() if "://" not in address]
    return {f"{IMAGE_PLACE}/{path.name}": str(path) for path in paths if path.is_file()}


def staged_files():
    """Return what goes into the staged folder beside the GDC's files: place -> path."""
    try:
        files = own_files(CONFIG, COHORTS) | image_files()
    except ConfigError as error:
        raise WorkflowError(f"the run cannot be staged:\n{error}")
    for name in census_references(CONFIG):
        files[f"references/{name}.h5ad"] = f"results/references/{name}/cells.h5ad"
    if ENCODER_WEIGHTS:
        files[f"encoders/{Path(ENCODER_WEIGHTS).name}"] = ENCODER_WEIGHTS
    return files


def offline_inputs(wildcards):
    """Return everything that has to be there before a run can be staged."""
    if STAGED_SLIDES and not SLIDES["keep_slides"]:
        raise WorkflowError(
            "slides.keep_slides is false, so slides are deleted before they can be staged; set it to true, at least "
            "for stage_offline."
        )
    folder = "results/{cohort}/cohort/"
    return {
        "files": sorted(staged_files().values()),
        "manifests": expand(f"{folder}manifest.tsv", cohort=STAGED),
        "answers": expand(f"{folder}answers", cohort=STAGED),
        "fetched": [path for cohort in STAGED for path in fetched_tables(cohort)],
        "wheels": [f"{OFFLINE}/wheels"] if OFFLINE_ENVIRONMENTS else [],
    }


def offline_places(wildcards):
    """Return what goes where in the staged folder."""
    folder = cohort_folder(CONFIG, Path(workflow.basedir))
    return {
        "files": staged_files(),
        "cohorts": {name: str(folder / f"{name}.yaml") for name in COHORTS},
        "mirrors": {name: mirror_place(COHORTS[name]) for name in STAGED},
        "manifests": {name: f"results/{name}/cohort/manifest.tsv" for name in STAGED},
        "answers": {name: f"results/{name}/cohort/answers" for name in STAGED},
        "fetched": {name: fetched_tables(name) for name in STAGED},
    }


def offline_configuration(wildcards):
    """Return the configuration of the other host."""
    return staged_configuration(
        CONFIG,
        folder=Path(OFFLINE).name,
        weights=Path(ENCODER_WEIGHTS).name if ENCODER_WEIGHTS else None,
        images=list(image_files()),
    )


def environment_pins(wildcards):
    """Return the pins of the environments whose wheels are staged."""
    return pins(list(OFFLINE_ENVIRONMENTS))


def run_files(wildcards):
    """Return the files whose history run.json tells: everything that the report shows."""
    evaluation = expand("results/{{cohort}}/evaluation/{name}.tsv", name=EVALUATION)
    figures = ("forest.svg", "gap.svg", "flow.svg")
    folders = ("balance", "survival_curves", "calibration")
    named = [
        [files] if isinstance(files, str) else files
        for files in report_files(wildcards).values()
    ]
    return [
        *report_data(wildcards),
        *(path for paths in named for path in paths),
        *evaluation,
        "results/{cohort}/evaluation/methods.json",
        "results/{cohort}/evaluation/balance.tsv",
        *(f"results/{{cohort}}/report/figures/{name}" for name in figures + folders),
        *picture_files(wildcards),
    ]


def rule_stages(wildcards):
    """Return the stage of every rule: the name of the file that it stands in."""
    return {rule.name: Path(rule.snakefile).stem for rule in workflow.rules}


def records_seen(wildcards):
    """Return when the newest of the jobs' records was written, and how many there are, so that a new job is seen."""
    own = record_path("logs/sum_costs.log")
    times = [
        path.stat().st_mtime for path in Path("logs").rglob("*.json") if path != own
    ]
    return [len(times), max(times, default=0)]


def cohort_title(wildcards):
    """Return the name of a cohort for people."""
    return COHORTS[wildcards.cohort]["title"]
