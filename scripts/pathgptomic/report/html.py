"""One self-contained page a cohort, from the study's tables, its figures and the template."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pathgptomic import __version__
from pathgptomic.files import atomic
from pathgptomic.report import answer, prose
from pathgptomic.report.balance_words import balance_grid, balance_text, contrasts
from pathgptomic.report.catalogue import PAPER
from pathgptomic.report.facts import cost_grid, data_grid, run_grid
from pathgptomic.report.genomics_view import genomics_grids
from pathgptomic.report.glossary import GLOSSARY
from pathgptomic.report.patients_view import follow_up, patients_grid
from pathgptomic.report.planted import Planted, planted_grid, planted_text
from pathgptomic.report.result_tables import (
    audit_grid,
    comparison_grid,
    gain_grid,
    number_grids,
    risk_group_grid,
    within_grid,
)
from pathgptomic.report.slides_view import slides_section
from pathgptomic.report.study import Study, read_study
from pathgptomic.report.svg import Drawing, load_drawing
from pathgptomic.report.text import summary_text
from pathgptomic.report.wording import JOINED, number, percent

HERE = Path(__file__).parent
LARGEST = 3_000_000  # bytes of a report
LARGEST_PICTURE = 1_000_000  # bytes of a picture of an earlier stage; a larger one is only named
PICTURES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".svg": "image/svg+xml"}


def write_report(
    *,
    files: Mapping[str, str | Path],
    figures: str | Path,
    catalogue: Mapping[str, Mapping[str, Any]],
    cohort: Mapping[str, Any],
    model: Mapping[str, Any],
    facts: Mapping[str, Any],
    data: Sequence[str | Path],
    benchmarks: str | Path,
    inserts: Sequence[Mapping[str, str]],
    slide_pictures: Sequence[Mapping[str, str]],
    out: str | Path,
    text: str | Path,
) -> None:
    """Write the report of one cohort, as a page and as a table for the terminal.

    Parameters
    ----------
    files
        Tables of the cohort and of its evaluation, see `read_study`; ``bundle`` (model.json) where the first model was
        trained; ``run`` (run.json) where the workflow has said how its results were made; ``slides`` (slides.json)
        where slides were read; ``truth`` and ``hazards`` of a simulated cohort; tables of scGPT and its adapters, see
        `genomics_grids`.
    figures
        Folder of the figures; it lies beside the report, and a figure that is not there is left out.
    catalogue
        What the models are, see `catalogue.py`; the first is the one that the report is about.
    cohort
        Settings of the cohort file.
    model
        Settings of the first model, empty for a baseline.
    facts
        What the workflow says of itself, words -> value.
    data
        Files whose size and hash are printed.
    benchmarks
        Folder of the cohort's benchmark files; it may be missing.
    inserts
        Pictures of earlier stages: ``path``, ``title`` (read aloud) and ``caption``.
    slide_pictures
        The same of the slides, for their own section.
    out, text
        The HTML file and the text file to write.
    """
    study = read_study(files, catalogue=catalogue, cohort=cohort)
    planted = Planted.read(files["truth"], files["hazards"]) if "truth" in files else None
    page = render(
        **_texts(study, model),
        figures=_figures(study, Path(figures), Path(out).parent),
        tables=_tables(study, facts, data, benchmarks, files)
        | {"planted": planted_grid(study, planted) if planted else None, "inputs": genomics_grids(files)},
        inserts=[_inserted(insert) for insert in inserts],
        slides=_slides(files.get("slides"), slide_pictures),
    )
    size = len(page.encode())
    if size > LARGEST:
        raise ValueError(f"{out} would hold {size:,} bytes, over {LARGEST:,}; show fewer or smaller pictures.")
    table = summary_text(files["summary"], title=study.title, level=study.level.replace(JOINED, " "))
    table += planted_text(study, planted) if planted else ""
    for path, content in ((out, page), (text, table)):
        with atomic(path) as temporary:
            temporary.write_text(content, encoding="utf-8")


def render(**content: Any) -> str:
    """Return the page; every value of `content` is escaped but drawings."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    script = (HERE / "sort.js").read_text(encoding="utf-8")
    return environment.get_template("template.html").render(
        **content,
        glossary=[{"term": term, "meaning": meaning} for term, meaning in GLOSSARY],
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def shown_models(study: Study) -> list[str]:
    """Return the models whose curves are shown: the first, with clinical variables (or late fusion), clinical alone."""
    partner = study.catalogue[study.headline]["with_clinical"] or study.reference("late_fusion")
    chosen = [study.headline, partner, study.reference("clinical")]
    return [model for model in dict.fromkeys(chosen) if model in study.summary.index]


def balance_models(study: Study) -> list[str]:
    """Return the models whose training is shown: the balanced one, its unbalanced twin, a control of the two."""
    pair = next((each for each in contrasts(study) if study.catalogue[each.model]["strategy"] == PAPER), None)
    if pair is None:
        return []
    controls = [
        each.model
        for each in contrasts(study)
        if each.twin == pair.twin and study.catalogue[each.model]["strategy"] in ("random", "reversed")
    ]
    return [pair.model, pair.twin, *controls[:1]]


def _texts(study: Study, model: Mapping[str, Any]) -> dict[str, Any]:
    row = study.summary.loc[study.headline]
    pairs = contrasts(study)
    return {
        "title": study.title,
        "answer": {"sentence": answer.answer(study), "plainly": answer.plain_words(study)},
        "alerts": answer.alerts(study),
        "key_numbers": _key_numbers(study),
        "text": {
            "risk_groups": prose.risk_group_text(study),
            "calibration": prose.calibration_text(study),
            "balance": balance_text(study, pairs),
            "audit": prose.audit_text(study),
            "methods": prose.methods_text(study, model, int(row["seeds"])),
            "definitions": prose.definitions(study),
            "limits": prose.limits(study),
        },
        "footer": f"Made by Path-GPTOmic {__version__}. Research results, not a medical device.",
    }


def _key_numbers(study: Study) -> list[dict[str, str]]:
    row = study.summary.loc[study.headline]
    died = study.patients["event"].mean()
    numbers = [
        ("Patients", f"{len(study.patients):,}", ""),
        ("Deaths", f"{int(study.patients['event'].sum()):,}", f"({percent(died)})"),
        ("Median follow-up", *_with_unit(follow_up(study.patients))),
        ("Test folds", str(int(study.methods["folds"])), ""),
        (f"C-index, {study.name(study.headline)}", number(row["c_mean"]), ""),
    ]
    clinical = study.reference("clinical")
    if clinical and clinical != study.headline:
        numbers.append(("C-index, clinical variables alone", number(study.summary.loc[clinical, "c_mean"]), ""))
    return [{"label": label, "value": value, "unit": unit} for label, value, unit in numbers]


def _with_unit(text: str) -> tuple[str, str]:
    """Return the median of 'median (quartiles)' and its unit."""
    median = text.split(" (")[0]
    return median, "years" if median[:1].isdigit() else ""


def _figures(study: Study, folder: Path, report: Path) -> dict[str, Any]:
    forest = (
        f"Mean over {study.methods['folds']} test folds with {study.level} interval (corrected for overlapping "
        "training parts); 0.5 is a coin toss, 1 a perfect order."
    )

    def load(name: str, caption: str) -> Drawing | None:
        path = folder / f"{name}.svg"
        return load_drawing(path, folder=report, caption=caption) if path.is_file() else None

    def panels(name: str, models: list[str]) -> list[Drawing]:
        found = [load(f"{name}/{model}", "") for model in models]
        return [drawing for drawing in found if drawing is not None]

    return {
        "forest": load("forest", forest),
        "forest_narrow": load("forest_narrow", forest),
        "survival_curves": panels("survival_curves", shown_models(study)),
        "calibration": panels("calibration", shown_models(study)),
        "gap": load(
            "gap",
            "C-index on the patients that a model was fitted on, on training patients left out, and on test patients.",
        ),
        "balance": panels("balance", balance_models(study)),
        "flow": load("flow", "Patient flow: who entered, who was excluded and why, who was tested."),
    }


def _tables(
    study: Study, facts: Mapping[str, Any], data: Sequence, benchmarks: str | Path, files: Mapping[str, str | Path]
) -> dict:
    run = json.loads(Path(files["run"]).read_text(encoding="utf-8")) if "run" in files else None
    pairs = contrasts(study)
    numbers = [*number_grids(study), within_grid(study), comparison_grid(study)]
    costs = [run_grid(facts, study.methods, files.get("bundle"), run), data_grid(data, run), cost_grid(benchmarks)]
    return {
        "gain": gain_grid(study),
        "risk_groups": risk_group_grid(study, shown_models(study)),
        "balance": balance_grid(study, pairs) if pairs else None,
        "patients": patients_grid(study.patients, study.cohort["covariates"]),
        "audit": audit_grid(study),
        "numbers": [grid for grid in numbers if grid is not None],
        "facts": [grid for grid in costs if grid is not None and grid.rows],
    }


def _slides(facts: str | Path | None, pictures: Sequence[Mapping[str, str]]) -> dict[str, Any] | None:
    return slides_section(facts) | {"pictures": [_inserted(each) for each in pictures]} if facts else None


def _inserted(insert: Mapping[str, str]) -> dict[str, str]:
    """Return a picture of an earlier stage as part of the page."""
    path = Path(insert["path"])
    kind = PICTURES.get(path.suffix.lower())
    if kind is None:
        raise ValueError(f"{path} is no picture that a report can hold; give one of {', '.join(PICTURES)}.")
    named = {"title": insert["title"], "caption": insert["caption"], "file": str(path)}
    if path.stat().st_size > LARGEST_PICTURE:
        return named | {"source": ""}
    return named | {"source": f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"}
