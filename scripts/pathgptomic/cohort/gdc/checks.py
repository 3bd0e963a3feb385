"""What can be said about a GDC cohort before any job: settings that clash, folders that are not there."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pathgptomic.config import resolve

COVARIATES = ("age", "sex", "stage", "grade", "histology", "race", "project")
TABLES = {"outcomes": ("outcomes",), "cnv.positions": ("cnv", "positions")}


def sentences(config: Mapping[str, Any], cohort: Mapping[str, Any]) -> Iterator[str]:
    """Yield one sentence for everything in a GDC cohort that a run would trip over."""
    if not cohort["gdc"]:
        yield "the source gdc needs `gdc.projects`; add it."
        return
    yield from _cohort(config, cohort)
    if "@" in urlsplit(config["gdc"]["base_url"]).netloc:
        # the address stands in logs and in Snakemake's records
        yield "gdc.base_url holds a password; leave it out, and name a proxy with one in the variable HTTPS_PROXY."
    token = config["gdc"]["token_file"]
    if token and not Path(token).is_file():
        yield f"there is no GDC token file {token}; correct gdc.token_file in config.yaml."


def encodes_slides(cohort: Mapping[str, Any]) -> bool:
    """Return whether slides of a GDC cohort are fetched and encoded, rather than taken as features made elsewhere."""
    return "slides" in cohort["modalities"] and not cohort["tables"]["slides"]


def mirror_of(config: Mapping[str, Any], cohort: Mapping[str, Any]) -> str | None:
    """Return the folder that stands in for the GDC: the cohort's own, else that of the run, else None."""
    own = cohort["gdc"]["mirror"]
    return resolve(config, own) if own else config["gdc"]["mirror"]


def _cohort(config: Mapping[str, Any], cohort: Mapping[str, Any]) -> Iterator[str]:
    gdc, modalities = cohort["gdc"], cohort["modalities"]
    for name in [*cohort["covariates"], *filter(None, [cohort["stratum"]])]:
        if name not in COVARIATES:
            yield f"the GDC has no covariate '{name}' here; it has {', '.join(COVARIATES)}."
    for name in gdc["fill"]:
        if name not in COVARIATES:
            yield f"`gdc.fill` names '{name}'; it can fill {', '.join(COVARIATES)}."
    if cohort["site"]["column"]:
        yield "`site.column` is for tables; for the GDC set `site.barcode`, [6, 7] in TCGA."
    if cohort["splits"]["scheme"] == "published":
        yield "the scheme published is for tables; choose another for a cohort from the GDC."
    if gdc["endpoint"] != "OS" and not gdc["outcomes"]:
        yield f"the endpoint {gdc['endpoint']} needs a table; name one in `gdc.outcomes`."
    segments = gdc["cnv"]["data_type"] != "Gene Level Copy Number"
    if segments and "cnv" in modalities:
        if (gdc["cnv"]["level"] == "gene" or gdc["cnv"]["genes"]) and not gdc["cnv"]["positions"]:
            yield "genes out of copy-number segments need their places; name a table in `gdc.cnv.positions`."
        if gdc["cnv"]["workflow"] == "ASCAT3":
            yield "ASCAT3 makes no segments of this data type; set `gdc.cnv.workflow: DNAcopy`."
    for key, names in TABLES.items():
        value: Any = gdc
        for part in names:
            value = value[part]
        if value and not Path(resolve(config, value)).is_file():
            yield f"there is no file {resolve(config, value)}; correct `gdc.{key}` or `data_root`."
    yield from _features(config, cohort)
    mirror = mirror_of(config, cohort)
    if mirror and not cohort["simulate"] and not Path(mirror).is_dir():
        yield f"there is no mirror {mirror}; correct gdc.mirror."


def _features(config: Mapping[str, Any], cohort: Mapping[str, Any]) -> Iterator[str]:
    """Say what is wrong with the only table that a GDC cohort may name: image features of its slides."""
    for name, table in cohort["tables"].items():
        if table and name != "slides":
            yield f"`tables.{name}` is for the source tables; the GDC goes with `tables.slides.features` only."
    slides = cohort["tables"]["slides"]
    if not slides:
        return
    if any(slides[name] for name in ("table", "images", "list")) or not slides["features"]:
        yield "`tables.slides` of a cohort from the GDC names a folder in `features`, and nothing else."
    elif not Path(folder := resolve(config, slides["features"])).is_dir():
        yield f"there is no folder {folder}; correct `tables.slides.features` or `data_root`."
