"""What can be wrong with the single-cell references of a configuration beyond its schema."""

from pathlib import Path

from pathgptomic.config import resolve
from pathgptomic.singlecell.patterns import has_one_group


def errors(config: dict, cohorts: dict[str, dict]) -> list[str]:
    """Return one sentence for everything that is wrong."""
    return [
        f"config: singlecell.references.{name}: {sentence}"
        for name, reference in config["singlecell"]["references"].items()
        for sentence in _reference_errors(config, reference)
    ]


def _reference_errors(config: dict, reference: dict) -> list[str]:
    found = []
    if reference["source"] == "census":
        census = reference["census"]
        if bool(census["version"]) == bool(census["uri"]):
            found.append(
                "the source census needs either census.version (a dated release) or census.uri (a local copy)."
            )
        if not census["tissue"]:
            found.append("census.tissue is empty, which asks for every cell of the Census; name the tissue.")
    else:
        path = resolve(config, reference["path"])
        if not reference["path"]:
            found.append("the source h5ad needs path, the .h5ad file.")
        elif not Path(path).is_file() and not _is_made(reference["path"]):
            found.append(f"there is no file {path}; check path and data_root.")
        file = reference["file"]
        if not file["donor"] and not has_one_group(file["pattern"]):
            found.append(
                f"file.donor is empty and file.pattern '{file['pattern']}' is no regular expression with one group; "
                "one of the two has to tell the donor of a cell."
            )
    held_out = reference["held_out"]
    if held_out["validation"] + held_out["test"] > 0.6:
        found.append("held_out keeps more than 0.6 of the cells from training; lower validation or test.")
    low, high = reference["mixtures"]["cells"]
    if low > high:
        found.append(f"mixtures.cells is [{low}, {high}]; give the fewest first.")
    return found


def _is_made(path: str) -> bool:
    """Return whether a rule of the workflow makes the file (the demo's simulated cells)."""
    return path.startswith("resources/")
