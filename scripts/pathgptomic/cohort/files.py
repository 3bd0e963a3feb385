"""The files that a cohort's own tables come from, by name: what a rule waits for and what the checks look at."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pathgptomic.config import resolve

FOLD = "{fold}"  # stands for the number of the fold in the path of splits with a file a fold
TABLES = ("clinical", "expression", "cnv", "mutations", "splits")
SLIDE_SOURCES = ("features", "table", "images")


def table_files(config: Mapping[str, Any], cohort: Mapping[str, Any]) -> dict[str, str | list[str]]:
    """Return the files of a cohort's tables as seen from the working directory.

    Keys are those of `clinical`, `expression`, `cnv`, `mutations`, `splits` (a list where there is a file a fold),
    `features`, `table`, `images` (slides; the folder for features and images) and `list` (slides) that the cohort file
    names.
    """
    tables = cohort["tables"]
    files: dict[str, str | list[str]] = {name: resolve(config, tables[name]["path"]) for name in TABLES if tables[name]}
    if "splits" in files and FOLD in files["splits"]:
        files["splits"] = split_files(files["splits"])
    slides = tables["slides"]
    if slides:
        files |= {name: resolve(config, slides[name]) for name in SLIDE_SOURCES if slides[name]}
        if slides["list"]:
            files["list"] = resolve(config, slides["list"]["path"])
    return files


def published_files(config: Mapping[str, Any], cohort: Mapping[str, Any]) -> list[str]:
    """Return the files of published splits where they are the scheme, else nothing."""
    if cohort["splits"]["scheme"] != "published":
        return []
    splits = table_files(config, cohort)["splits"]
    return [splits] if isinstance(splits, str) else splits


def split_files(path: str) -> list[str]:
    """Return the files that a path with ``{fold}`` stands for, in the order of their numbers."""
    before, after = Path(path).name.split(FOLD)
    found = {}
    folder = Path(path).parent
    for file in folder.iterdir() if folder.is_dir() else []:
        number = file.name.removeprefix(before).removesuffix(after)
        if file.name == before + number + after and number.isdecimal():
            found[int(number)] = str(file)
    return [found[number] for number in sorted(found)]
