"""What can be said about a cohort file before any job: missing files, missing columns, settings that clash.

Reads no more than the header and the first row of a table.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pathgptomic.cohort.files import FOLD, SLIDE_SOURCES, TABLES, split_files, table_files
from pathgptomic.cohort.gdc import checks as gdc
from pathgptomic.cohort.headers import column_names, file_format
from pathgptomic.config import resolve

RESERVED = ("patient_id", "time_days", "event", "dead", "site", "stratum")
GENE_TABLES = ("expression", "cnv", "mutations")
SITE_SCHEMES = ("site-preserved", "leave-one-site-out")


def errors(config: dict[str, Any], cohorts: dict[str, dict[str, Any]]) -> list[str]:
    """Return one sentence for everything in the cohort files that a run would trip over."""
    found = []
    for name, cohort in cohorts.items():
        where = f"{config['cohort_folder']}/{name}.yaml"
        sentences = list(_settings(cohort))
        if cohort["source"] == "tables":
            sentences += _needs(cohort)
            # a simulated cohort's tables are made by a job of the same run
            sentences += [] if sentences or cohort.get("simulate") else _tables(config, cohort)
        else:
            sentences += gdc.sentences(config, cohort)
        found += [f"{where}: {sentence}" for sentence in sentences]
    return found


def _settings(cohort: Mapping[str, Any]) -> Iterator[str]:
    """Say which settings contradict one another, whatever the source."""
    covariates, site, splits = cohort["covariates"], cohort["site"], cohort["splits"]
    for name in covariates:
        if name in RESERVED or name.startswith("has_"):
            yield f"the covariate '{name}' has the name of a column of ours; rename it by `tables.clinical.columns`."
    if "clinical" in cohort["modalities"] and not covariates:
        yield "`modalities` names clinical but `covariates` is empty; name covariates, or take clinical out."
    for name in cohort["audit"]["adverse"] or []:
        if name not in covariates:
            yield f"`audit.adverse` names '{name}', which is no covariate; add it to `covariates`, or take it out."
    if site["column"] and site["barcode"]:
        yield "`site` names a column and characters of the barcode; keep one."
    if splits["scheme"] in SITE_SCHEMES and not (site["column"] or site["barcode"]):
        yield f"the scheme {splits['scheme']} needs to know the sites; set `site.column` or `site.barcode`."
    if splits["scheme"] == "published" and not cohort["tables"]["splits"]:
        yield "the scheme published needs `tables.splits`; add it, or choose another scheme."
    slides = cohort["tables"]["slides"]
    if slides and slides["fold"] and splits["scheme"] != "published":
        yield (
            f"image features that differ between folds were made for their own splits, and another scheme "
            f"({splits['scheme']}) would test on patients that they were trained on; use the scheme published."
        )


def _needs(cohort: Mapping[str, Any]) -> Iterator[str]:
    """Say which tables are missing from the cohort file, and which of its rules cannot be read."""
    tables, slides = cohort["tables"], cohort["tables"]["slides"]
    if not tables["clinical"]:
        yield "`tables.clinical` is missing; it holds the outcome."
    for modality in cohort["modalities"]:
        if not tables[modality] and modality != "clinical":
            yield f"`modalities` names {modality} but `tables.{modality}` is missing; add it, or take {modality} out."
    if slides:
        given = [name for name in SLIDE_SOURCES if slides[name]]
        if len(given) != 1:
            yield f"`tables.slides` names {' and '.join(given) or 'nothing'}; name one of {', '.join(SLIDE_SOURCES)}."
        if slides["fold"] and not slides["table"]:
            yield "`tables.slides.fold` goes with `tables.slides.table` only; take it out."
    splits = tables["splits"]
    if splits and (splits["layout"] == "lists") != (FOLD in splits["path"]):
        yield f"`tables.splits.path` holds {FOLD} with the layout lists, and only then."
    for name, table in tables.items():
        for key, pattern in _patterns(table or {}):
            try:
                groups = re.compile(pattern).groups
            except re.error as error:
                yield f"`tables.{name}.{key}` is no regular expression: {error}."
            else:
                if groups != 1:
                    yield f"`tables.{name}.{key}` has {groups} groups in parentheses; it needs one around what to keep."


def _patterns(table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if table.get("id", {}).get("pattern"):
        yield "id.pattern", table["id"]["pattern"]
    if table.get("gene_pattern"):
        yield "gene_pattern", table["gene_pattern"]


def _tables(config: Mapping[str, Any], cohort: Mapping[str, Any]) -> Iterator[str]:
    """Say which files are missing or lack a column."""
    tables = cohort["tables"]
    splits = tables["splits"]
    if splits and splits["layout"] == "lists" and not split_files(resolve(config, splits["path"])):
        yield f"there is no file {resolve(config, splits['path'])}; correct `tables.splits.path` or `data_root`."
    for name, files in table_files(config, cohort).items():
        key = name if name in TABLES else f"slides.{name}"
        folder = name in ("features", "images")
        for path in [files] if isinstance(files, str) else files:
            if not (Path(path).is_dir() if folder else Path(path).is_file()):
                kind = "folder" if folder else "file"
                yield f"there is no {kind} {path}; correct `tables.{key}` or `data_root`."
            elif not folder:
                yield from _columns(cohort, key, path)


def _columns(cohort: Mapping[str, Any], key: str, path: str) -> Iterator[str]:
    """Say which columns a table lacks."""
    slides = cohort["tables"]["slides"]
    table = {"slides.table": slides, "slides.list": slides and slides["list"]}.get(key, cohort["tables"].get(key))
    try:
        if file_format(path) == ".h5ad" and key in GENE_TABLES:
            return
        if file_format(path) == ".h5ad":
            yield f"{path} is an h5ad file, which only {' and '.join(GENE_TABLES)} may be; make it csv, tsv or parquet."
            return
        known = column_names(path, table["separator"], table["comment"])
    except (ValueError, OSError, UnicodeDecodeError) as error:
        yield f"{error}" if str(path) in str(error) else f"{path} cannot be read: {error}."
        return
    missing = [column for column in dict.fromkeys(_wanted(cohort, key, table)) if column not in known]
    if missing:
        names = ", ".join(repr(name) for name in known[:12])
        yield (
            f"{path} has no column {' or '.join(map(repr, missing))} (`tables.{key}`); "
            f"it has {names}{' ...' if len(known) > 12 else ''}."
        )


def _wanted(cohort: Mapping[str, Any], key: str, table: Mapping[str, Any]) -> Iterator[str]:
    """Yield the columns that a table of the cohort file must have."""
    yield from table["only"]
    if key == "clinical":
        time, witness = table["time"]["column"], table["vital_status"]
        yield from [table["patient"], *([time] if isinstance(time, str) else time), table["event"]["column"]]
        yield from [witness["column"]] if witness else []
        ours = [*cohort["covariates"], *filter(None, [cohort["site"]["column"], cohort["stratum"]])]
        yield from (table["columns"].get(name, name) for name in ours)
    elif key in GENE_TABLES:
        by_patient = table["orientation"] == "patients_by_genes"
        yield from [table["patient"]] if by_patient else filter(None, [table["gene"]])
        yield from [*table["columns"]["keep"], *table["columns"]["drop"]]
    elif key == "slides.table":
        yield from [table["patient"], *filter(None, [table["fold"]]), *table["columns"]["keep"]]
    elif key == "slides.list":
        yield from [table["patient"], table["slide"]]
    elif table["layout"] == "wide":
        yield from [table["patient"], *table["folds"]]
    elif table["layout"] == "long":
        yield from [table["patient"], table["fold"], table["role"]]
    else:
        yield from [*table["train"], *table["validation"], *table["test"]]
