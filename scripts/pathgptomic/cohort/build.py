"""The step build_cohort for local tables: read them all, join them, write the cohort."""

from collections.abc import Mapping, Sequence
from typing import Any

from pathgptomic.cohort.clinical import read_clinical
from pathgptomic.cohort.features import read_gene_table
from pathgptomic.cohort.images import read_images
from pathgptomic.cohort.join import join, write_cohort
from pathgptomic.cohort.published import read_published
from pathgptomic.cohort.source import Source

GENE_TABLES = ("expression", "cnv", "mutations")


def build_cohort(*, files: Mapping[str, str | Sequence[str]], settings: Mapping[str, Any], out: str) -> None:
    """Read a cohort's own tables in their dialects and write the checked cohort.

    Parameters
    ----------
    files
        Paths by name: `clinical`, and those of `expression`, `cnv`, `mutations`, `features` or `images` or `table`
        (slides), `list` (slides) and `splits` (one or several) that the cohort has.
    settings
        The cohort file with its defaults.
    out
        Folder of the cohort.

    Raises
    ------
    ValueError
        One sentence a finding that stops the run, or for the first value that cannot be understood.
    """
    unit = settings["tables"]["clinical"]["time"]["unit"]
    write_cohort(join(read_tables(files, settings), settings, time_unit=unit), out)


def read_tables(files: Mapping[str, str | Sequence[str]], settings: Mapping[str, Any]) -> Source:
    """Read every table of a cohort file; see `build_cohort` for the parameters."""
    tables = settings["tables"]
    clinical, findings = read_clinical(files["clinical"], settings)
    parts: dict[str, Any] = {}
    names = {"clinical": files["clinical"]}
    for name in GENE_TABLES:
        if tables[name] is not None:
            parts[name], found = read_gene_table(files[name], tables[name], name)
            findings += found
            names[name] = files[name]
    if "expression" in parts:
        parts["scale"] = "zscore" if tables["expression"]["scale"] == "zscore" else "linear"
    if tables["slides"] is not None:
        parts["slides"], parts["with_slides"], found = read_images(files, tables["slides"], clinical.index)
        findings += found
        names["slides"] = next(files[name] for name in ("features", "table", "images") if name in files)
    if tables["splits"] is not None:
        splits = [files["splits"]] if isinstance(files["splits"], str) else list(files["splits"])
        parts["published"] = read_published(splits, tables["splits"])
    return Source(clinical=clinical, files=names, findings=tuple(findings), **parts)
