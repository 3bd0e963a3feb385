"""Where the environments of the rules come from."""

import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from pathgptomic import __version__
from pathgptomic.config import STAGES, ConfigError


def images(prefix: str) -> dict[str, str]:
    """Return the container image of every stage, and of the published scgpt package.

    Parameters
    ----------
    prefix
        A folder of ``<stage>.sif`` files, or a registry prefix with a scheme (``docker://...``), to which stage and
        version are appended.
    """
    names = (*STAGES, "scgpt")
    if "://" in prefix:
        return {name: f"{prefix.rstrip('/')}/{name}:{__version__}" for name in names}
    return {name: f"{prefix.rstrip('/')}/{name}.sif" for name in names}


def needed_images(workflow: Any) -> list[str]:
    """Return the images of the jobs that Snakemake is about to run, none if images are not asked for."""
    if "apptainer" not in map(str, workflow.deployment_settings.deployment_method):
        return []
    return [job.container_img_url for job in workflow.dag.needrun_jobs() if job.container_img_url]


def refuse_missing_images(addresses: Iterable[str]) -> None:
    """Refuse a run that needs image files which are not there, and would fail job by job.

    Raises
    ------
    ConfigError
        If an image file is missing; addresses in a registry are left to Snakemake.
    """
    missing = sorted({address for address in addresses if "://" not in address and not Path(address).is_file()})
    if missing:
        raise ConfigError(
            f"- the images {', '.join(missing)} do not exist; build them (make containers), name their folder or "
            "registry (containers: in the configuration), or run without images (--software-deployment-method "
            "env-modules, or conda)."
        )


def refuse_unwritable(folders: Iterable[str | Path]) -> None:
    """Refuse a run in folders that cannot be written in, or that have no room at all, before any job fails there.

    Raises
    ------
    ConfigError
        One sentence for every such folder.
    """
    found = []
    for folder in map(Path, folders):
        place = next(path for path in (folder, *folder.parents) if path.is_dir())
        try:
            with tempfile.NamedTemporaryFile(dir=place, prefix=".pathgptomic-") as handle:
                handle.write(bytes(4096))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            found.append(f"- {place.resolve()} cannot be written in ({reason}); make room or make it writable.")
    if found:
        raise ConfigError("\n".join(dict.fromkeys(found)))


def refuse_both_deployments(methods: Collection) -> None:
    """Refuse conda and Apptainer at once, which Snakemake would take as conda inside the image.

    Raises
    ------
    ConfigError
        If both are asked for.
    """
    # Snakemake hands over members of an enumeration whose text ends in the method's name
    names = {str(method).rpartition(".")[2].lower() for method in methods}
    if {"conda", "apptainer"} <= names:
        raise ConfigError(
            "- the command line or profile asks for conda and Apptainer at once (--software-deployment-method); "
            "every rule has both, so name one of them."
        )
