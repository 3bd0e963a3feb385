"""Which files a configuration names, where they lie in a staged folder, and the configuration that finds them there.

A staged folder holds ``data`` (what cohort files name relative to `data_root`), ``cohorts``, ``gdc``, ``references``,
``scgpt``, ``encoders``, ``images`` and ``wheels``. Nothing here opens a file.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pathgptomic.cohort.files import published_files, table_files
from pathgptomic.config import ConfigError, resolve

DATA, COHORTS, GDC, REFERENCES = "data", "cohorts", "gdc", "references"
SCGPT, ENCODERS, IMAGES, WHEELS = "scgpt", "encoders", "images", "wheels"
GENES = "genes.txt"
CHECKPOINT_FILES = ("args.json", "vocab.json", "best_model.pt")


def own_files(config: Mapping[str, Any], cohorts: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the files and folders of your own that a run reads: place in the staged folder -> path.

    Parameters
    ----------
    config, cohorts
        As `pathgptomic.config.load` returns them. Simulated cohorts, and files that a simulated cohort is made of, need
        no staging.

    Raises
    ------
    ConfigError
        Naming an absolute path, or one that leaves `data_root`, which a second host could not find.
    """
    simulated = [name for name, cohort in cohorts.items() if cohort["simulate"]]
    paths = [path for name, cohort in cohorts.items() if name not in simulated for path in _of_cohort(config, cohort)]
    references = config["singlecell"]["references"].values()
    paths += [resolve(config, ref["path"]) for ref in references if ref["source"] == "h5ad"]
    _refuse_absolute(cohorts, references)
    made = tuple(resolve(config, f"resources/{name}/") + "/" for name in simulated)
    files = {_place(config, path): path for path in paths if not path.startswith(made)}
    files |= {
        place: config["survival"]["models"][name]["rois"]["weights"] for name, place in image_weights(config).items()
    }
    genomics = config["genomics"]
    if genomics["adapters"] and genomics["checkpoint"] != "tiny":
        files |= {f"{SCGPT}/{name}": f"{genomics['checkpoint']}/{name}" for name in CHECKPOINT_FILES}
    if genomics["policy"].startswith("genes:"):
        files[GENES] = genomics["policy"].partition(":")[2]
    return files


def census_references(config: Mapping[str, Any]) -> list[str]:
    """Return the single-cell references that come from the Census."""
    return [name for name, ref in config["singlecell"]["references"].items() if ref["source"] == "census"]


def image_weights(config: Mapping[str, Any]) -> dict[str, str]:
    """Return where the weights lie that the image networks of models start from: model -> place."""
    models = config["survival"]["models"].items()
    named = {name: model["rois"]["weights"] for name, model in models if "rois" in model["modalities"]}
    return {name: f"{ENCODERS}/{name}-{Path(weights).name}" for name, weights in named.items() if weights}


def mirror_place(cohort: Mapping[str, Any]) -> str:
    """Return the place of a cohort's GDC files in the staged folder."""
    own = cohort["gdc"]["mirror"]
    return f"{DATA}/{own}" if own else GDC


def staged_configuration(
    config: Mapping[str, Any], *, folder: str, weights: str | None, images: Sequence[str]
) -> dict[str, Any]:
    """Return the configuration with which a host runs from a staged folder.

    Parameters
    ----------
    config
        The configuration of the run that was staged, with defaults.
    folder
        Name of the staged folder as seen from the working directory of the second host.
    weights
        Name of the encoder's weights in the staged folder, None where they come with the software.
    images
        The image files that were staged; without any, the images are looked for where they were.
    """
    new = copy.deepcopy(dict(config))
    new |= {"cohort_folder": f"{folder}/{COHORTS}", "data_root": f"{folder}/{DATA}"}
    new["gdc"] |= {"mirror": f"{folder}/{GDC}", "token_file": None}
    for name in census_references(config):
        place = {"source": "h5ad", "path": f"../{REFERENCES}/{name}.h5ad"}
        new["singlecell"]["references"][name] |= place | {"file": {"label": "label", "donor": "donor"}}
    genomics = new["genomics"]
    if genomics["adapters"] and genomics["checkpoint"] != "tiny":
        genomics["checkpoint"] = f"{folder}/{SCGPT}"
    if genomics["policy"].startswith("genes:"):
        genomics["policy"] = f"genes:{folder}/{GENES}"
    if weights:
        new["slides"]["weights"] = f"{folder}/{ENCODERS}/{weights}"
    for name, place in image_weights(config).items():
        new["survival"]["models"][name]["rois"]["weights"] = f"{folder}/{place}"
    if images:
        new["containers"] = f"{folder}/{IMAGES}"
    return new


def _of_cohort(config: Mapping[str, Any], cohort: Mapping[str, Any]) -> Iterator[str]:
    """Yield the files that one cohort file names."""
    for value in [*table_files(config, cohort).values(), published_files(config, cohort)]:
        yield from [value] if isinstance(value, str) else value
    gdc = cohort["gdc"] or {"outcomes": None, "cnv": {"positions": None}}
    named = [gdc["outcomes"], gdc["cnv"]["positions"], cohort["slides"]["mpp"], cohort["slides"]["rois"]]
    yield from (resolve(config, path) for path in named if path)


def _place(config: Mapping[str, Any], path: str) -> str:
    """Return where a file below `data_root` lies in the staged folder."""
    relative = Path(path).relative_to(config["data_root"])
    if ".." in relative.parts:
        raise ConfigError(f"- {path} lies outside data_root, so it cannot be staged; put it below data_root.")
    return f"{DATA}/{relative}"


def _refuse_absolute(cohorts: Mapping[str, Any], references: Any) -> None:
    for text in _texts([*cohorts.values(), *(reference["path"] for reference in references)]):
        if Path(text).is_absolute():
            raise ConfigError(
                f"- {text} is an absolute path, which another host would not find; name it relative to data_root "
                "before staging."
            )


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in a nested value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(part)
