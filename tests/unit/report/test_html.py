import base64
import hashlib
import itertools
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from pathgptomic.files import sha256_file
from pathgptomic.report.balance_words import balance_verdict, best_single, contrasts
from pathgptomic.report.facts import cost_grid, data_grid
from pathgptomic.report.html import LARGEST, LARGEST_PICTURE
from pathgptomic.report.patients_view import follow_up
from pathgptomic.report.sources import read_table
from pathgptomic.report.statistics import corrected_t
from pathgptomic.report.study import read_study
from pathgptomic.report.text import summary_text
from pathgptomic.report.wording import interval, number, p_number, signed
from tests.unit.report.page import read_page, tables

HOSTILE = "</style></title><script>alert('x')</script><img src=x onerror=alert(1)>{{ 7*7 }}"
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture(scope="module")
def page(run, tmp_path_factory) -> str:
    return run.write(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def root(page):
    return read_page(page)


@pytest.fixture(scope="module")
def summary(run) -> pd.DataFrame:
    return read_table(run.evaluation / "summary.tsv").set_index("model", drop=False)


def find(found: dict, start: str) -> list[dict[str, str]]:
    (caption,) = [caption for caption in found if caption.startswith(start)]
    return found[caption]


def test_the_answer_is_computed_from_the_tables(root, summary):
    row, clinical = summary.loc["path-gptomic"], summary.loc["clinical-cox"]
    (answer,) = [element for element in root.all("p") if element.attributes.get("class") == "answer"]
    own = interval(row["c_ci_low"], row["c_ci_high"])
    gain = interval(row["delta_clinical_low"], row["delta_clinical_high"], sign=True)
    assert answer.words() == (
        f"On 90 patients ({int(row['events'])} deaths), Path-GPTOmic reached a C-index of {number(row['c_mean'])} "
        f"(95 % CI {own}), clinical variables alone {number(clinical['c_mean'])}; difference "
        f"{signed(row['delta_clinical'])} (95 % CI {gain}; p = {p_number(row['delta_clinical_p'])}, adjusted p = "
        f"{p_number(row['delta_clinical_p_adjusted'])}): {row['delta_clinical_verdict']}."
    )
    assert row["delta_clinical_verdict"] == "not distinguishable"
    text = root.words()
    assert f"only if it is {number(row['delta_clinical_minimum_detectable'])} or more" in text
    assert f"reached {number(summary.loc['late-fusion', 'c_mean'])}; difference" in text
    partner = summary.loc["path-gptomic-clinical"]
    assert f"With the clinical variables as a further branch the C-index was {number(partner['c_mean'])}" in text


def test_every_model_is_listed_with_the_numbers_of_the_summary(root, summary, run):
    rows = {row["Model"]: row for row in find(tables(root), "Ranking of patients")}
    assert list(rows) == [facts["title"] for facts in run.catalogue.values()]
    for _, row in summary.iterrows():
        shown = rows[row["title"]]
        assert shown["C mean"] == number(row["c_mean"])
        assert shown["SD"] == number(row["c_sd"])
        assert shown["95 % CI"] == interval(row["c_ci_low"], row["c_ci_high"])
        assert shown["C pooled"] == number(row["c_pooled"])
        assert shown["Uno C"] == number(row["uno_c"])
        assert shown["Gap"] == number(row["optimism"])
        assert shown["C shuffled"] == number(row["c_permuted"])
    rows = {row["Model"]: row for row in find(tables(root), "Accuracy of predicted survival")}
    for _, row in summary.iterrows():
        shown = rows[row["title"]]
        assert shown["IBS"] == number(row["ibs"])
        assert shown["Slope"] == number(row["calibration_slope"])
        assert shown["D-cal p"] == p_number(row["dcal_p"])


def test_models_stand_without_and_with_the_clinical_branch(root, summary):
    rows = {row["Model"]: row for row in find(tables(root), "Without and with the clinical variables")}
    assert set(rows) == {"Path-GPTOmic", "No balance", "Control: reversed", "Slides alone", "Late fusion"}
    shown, partner = rows["Path-GPTOmic"], summary.loc["path-gptomic-clinical"]
    assert shown["C without clinical"] == number(summary.loc["path-gptomic", "c_mean"])
    assert shown["C with clinical"] == number(partner["c_mean"])
    gain = interval(partner["delta_clinical_low"], partner["delta_clinical_high"], sign=True)
    assert shown["Gain over clinical alone"] == f"{signed(partner['delta_clinical'])} ({gain})"
    assert shown["Verdict (adj. p)"].endswith(f"({p_number(partner['delta_clinical_p_adjusted'])})")
    assert shown["Against late fusion"].startswith(signed(partner["delta_late_fusion"]))
    assert rows["Late fusion"]["Against late fusion"] == "–"
    assert rows["Slides alone"]["C with clinical"] == "–"


def test_the_balanced_model_stands_beside_the_unbalanced_one(root, run, summary):
    metrics = read_table(run.evaluation / "metrics.tsv")
    folds = metrics[(metrics["seed"] == "mean") & (metrics["fold"] != "pooled") & (metrics["subset"] == "")]
    wide = folds.pivot(index=["model", "metric"], columns="fold", values="value")
    splits = pd.read_csv(run.folder / "splits.tsv", sep="\t")
    ratio = (splits["role"] == "test").sum() / (splits["role"] == "train").sum()
    rows = {row["Model"]: row for row in find(tables(root), "Ways to balance")}
    assert list(rows) == ["Path-GPTOmic", "Control: reversed"]
    for model, title in (("path-gptomic", "Path-GPTOmic"), ("reversed", "Control: reversed")):
        for metric, column in (("harrell_c", "Change of C test"), ("optimism", "Change of the gap")):
            change = (wide.loc[(model, metric)] - wide.loc[("unbalanced", metric)]).to_numpy(float)
            expected = corrected_t(change, ratio)
            assert rows[title][column] == (
                f"{signed(expected.value)} ({interval(expected.ci_low, expected.ci_high, sign=True)})"
            )
    (verdict,) = [element for element in root.all("p") if element.attributes.get("class") == "verdict"]
    study = read_study(run.files(), catalogue=run.catalogue, cohort=run.cohort)
    pair = contrasts(study)[0]
    narrower = pair.gap.p < 0.05 and pair.gap.value < 0
    assert ("Balancing narrowed the gap" in verdict.words()) == narrower
    for column, model in (("without", "unbalanced"), ("with", "path-gptomic")):
        assert f"{number(summary.loc[model, 'c_mean'])} {column}" in verdict.words()
        assert f"{number(summary.loc[model, 'optimism'])} {column}" in verdict.words()
    gaps = [number(summary.loc[model, "optimism"]) for model in ("path-gptomic", "unbalanced")]
    assert f"patients {gaps[0]} and {gaps[1]}" in root.words()


def test_balance_helps_only_if_the_gap_and_the_test_are_better():
    states = ("better", "worse", "not distinguishable")
    said = {pair: balance_verdict(*pair, "1 without", "2 without") for pair in itertools.product(states, states)}
    assert [pair for pair, text in said.items() if text.startswith("It helped")] == [("better", "better")]
    assert [pair for pair, text in said.items() if text.startswith("In training only")] == [
        ("better", "not distinguishable")
    ]
    assert len(set(said.values())) == 9
    assert all("(1 without)" in text and "(C-index 2 without)" in text for text in said.values())
    assert said["not distinguishable", "not distinguishable"].startswith("No. Balancing did not measurably change")
    assert "One fold cannot tell" in balance_verdict("not tested", "better", "", "")
    held_back = balance_verdict("better", "better", "", "", held_back=True)
    assert held_back.startswith("It helped, and did not cure it. Balancing narrowed")


def test_the_best_single_branch_is_named(root, run, summary):
    study = read_study(run.files(), catalogue=run.catalogue, cohort=run.cohort)
    assert best_single(study, "path-gptomic") == "slides"
    assert f"slides alone, reached {number(summary.loc['slides', 'c_mean'])} on the same test patients" in root.words()


def test_in_sample_images_are_said_first_and_among_the_limits(run, tmp_path):
    (tmp_path / "bags.json").write_text(json.dumps({"features": ["hazard"], "source": "x", "in_sample_train": True}))
    page = run.write(tmp_path, files=run.files() | {"bags": tmp_path / "bags.json"})
    root = read_page(page)
    (alerts,) = [element for element in root.all("ul") if element.attributes.get("class") == "alerts"]
    assert "trained on these very patients" in alerts.words()
    assert "even the left-out values are too high" in root.words()
    assert "What the images are worth with clean inputs" in root.words()


def test_warnings_of_the_audit_stand_above_and_in_the_table(root):
    (alerts,) = [element for element in root.all("ul") if element.attributes.get("class") == "alerts"]
    assert "The label audit gave 1 warning: join: slides; see below." in alerts.words()
    rows = find(tables(root), "Checks of labels")
    assert [row["Result"] for row in rows] == ["pass", "warn"]
    assert rows[1]["What was seen"] == "Only 80 of 90 patients have slides."
    assert "1 gave a warning: join: slides" in root.words()


def test_nothing_is_fetched_from_outside(page, root):
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", page, flags=re.IGNORECASE)
    for element in [
        child for tag in ("script", "link", "img", "iframe", "object", "use", "a") for child in root.all(tag)
    ]:
        for name in ("src", "href", "xlink:href"):
            assert element.attributes.get(name, "#").startswith(("#", "data:image/"))
    assert len(page.encode()) < LARGEST


def test_only_our_own_script_may_run(page, root):
    (script,) = root.all("script")
    body = "".join(child.text for child in script.children)
    digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
    (policy,) = [e for e in root.all("meta") if e.attributes.get("http-equiv") == "Content-Security-Policy"]
    assert policy.attributes["content"] == (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )


def test_ids_are_unique_and_every_reference_is_met(page, root):
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    targets = re.findall(r'href="#([^"]+)"', page) + re.findall(r"url\(#([^)]+)\)", page)
    assert set(targets) <= set(ids)
    sections = {section.attributes["id"] for section in root.all("section")}
    links = {link.attributes["href"][1:] for link in root.all("nav")[0].all("a")}
    assert links == sections | {"answer"}


def test_the_page_is_accessible(root):
    assert root.all("html")[0].attributes["lang"] == "en-GB"
    for svg in root.all("svg"):
        assert svg.attributes["role"] == "img"
        named = svg.attributes["aria-labelledby"].split()
        assert [svg.all("title")[0].attributes["id"], svg.all("desc")[0].attributes["id"]] == named
        assert len(svg.all("desc")[0].words()) > 20
    for table in root.all("table"):
        assert table.all("caption")[0].words()
        assert all(head.attributes.get("scope") in ("col", "row") for head in table.all("th"))
    assert len(root.all("h1")) == 1
    assert all(section.all("h2") for section in root.all("section"))


def test_hostile_names_are_text(run, tmp_path):
    folder = tmp_path / "evil"
    shutil.copytree(run.evaluation, folder)
    table = pd.read_csv(folder / "summary.tsv", sep="\t", keep_default_na=False)
    table["title"] = [f"{title} {HOSTILE}" for title in table["title"]]
    table.to_csv(folder / "summary.tsv", sep="\t", index=False)
    audit = [{"check": HOSTILE, "status": "warn", "detail": HOSTILE, "evidence": {}}]
    (tmp_path / "audit.json").write_text(json.dumps(audit))
    patients = pd.read_csv(run.folder / "patients.tsv", sep="\t", dtype=str, keep_default_na=False)
    patients["idh"] = HOSTILE
    patients.to_csv(tmp_path / "patients.tsv", sep="\t", index=False)
    files = run.files() | {"summary": folder / "summary.tsv", "audit": tmp_path / "audit.json"}
    files["patients"] = tmp_path / "patients.tsv"
    page = run.write(tmp_path, files=files, cohort=run.cohort | {"title": HOSTILE}, facts={HOSTILE: HOSTILE})
    root = read_page(page)
    assert len(root.all("script")) == 1
    assert not root.all("img")
    assert not [name for element in root.everything() for name in element.attributes if name.startswith("on")]
    assert root.all("h1")[0].words() == HOSTILE
    assert root.all("title")[0].words() == f"{HOSTILE}: survival report"
    assert "49" not in root.all("h1")[0].words()
    assert HOSTILE in root.all("caption")[-3].words() + root.words()


def test_one_model_one_fold_no_slides_no_balance(smallest, tmp_path):
    page = smallest.write(tmp_path)
    root = read_page(page)
    sections = [section.attributes["id"] for section in root.all("section")]
    assert "balance" not in sections
    assert "ranking" in sections
    answer = root.all("header")[0].words()
    assert "Elastic net, all omics reached a C-index of" in answer
    assert "clinical variables alone" not in answer
    assert "difference" not in answer
    assert "nan" not in root.words().lower().split()
    assert "None" not in root.words().split()
    assert "1 test part" in root.words()


def test_missing_figures_leave_their_sections_out(run, tmp_path):
    page = run.write(tmp_path, figures=tmp_path / "none", out=tmp_path / "page.html")
    root = read_page(page)
    sections = [section.attributes["id"] for section in root.all("section")]
    assert {"risk-groups", "calibration"}.isdisjoint(sections)
    assert not root.all("svg")


def test_pictures_of_earlier_stages_are_part_of_the_page(run, tmp_path):
    (tmp_path / "sheet.png").write_bytes(PIXEL)
    insert = {"path": str(tmp_path / "sheet.png"), "title": "Contact sheet", "caption": "All slides <b>"}
    root = read_page(run.write(tmp_path, inserts=[insert]))
    (picture,) = root.all("img")
    assert picture.attributes["alt"] == "Contact sheet"
    assert base64.b64decode(picture.attributes["src"].split(",")[1]) == PIXEL
    assert "All slides <b>" in root.words()
    (tmp_path / "sheet.png").write_bytes(bytes(LARGEST_PICTURE + 1))
    root = read_page(run.write(tmp_path, inserts=[insert]))
    assert not root.all("img")
    assert str(tmp_path / "sheet.png") in root.words()
    (tmp_path / "sheet.png").write_bytes(bytes(LARGEST_PICTURE))
    with pytest.raises(ValueError, match="smaller pictures"):
        run.write(tmp_path, inserts=[insert] * 3)
    with pytest.raises(ValueError, match=r"table\.xlsx is no picture"):
        run.write(tmp_path, inserts=[insert | {"path": str(tmp_path / "table.xlsx")}])


def test_text_for_the_terminal_has_the_numbers_of_the_summary(run, tmp_path, summary):
    run.write(tmp_path)
    text = (tmp_path / "summary.txt").read_text(encoding="utf-8")
    assert text == summary_text(run.evaluation / "summary.tsv", title="Synthetic cohort")
    lines = text.splitlines()
    assert lines[0].startswith("Synthetic cohort: 3 folds")
    by_title = {title: line for title in summary["title"] for line in lines[3:] if line.startswith(f"{title}  ")}
    for _, row in summary.iterrows():
        line = by_title[row["title"]]
        cells = [cell for cell in re.split(r"\s{2,}", line) if cell]
        assert cells[1:4] == ["90", str(int(row["events"])), number(row["c_mean"])]
        assert cells[4:6] == [number(row["c_sd"]), interval(row["c_ci_low"], row["c_ci_high"])]
        assert cells[6:8] == [number(row["uno_c"]), number(row["ibs"])]
        if row["kind"] == "model" and row["model"] != "late-fusion":
            p, verdict = p_number(row["delta_late_fusion_p_adjusted"]), row["delta_late_fusion_verdict"]
            short = verdict.replace("not distinguishable", "n.d.")
            assert cells[9] == f"{signed(row['delta_late_fusion'])} ({p}) {short}"
    assert lines[-1] == "n.d.: not distinguishable from no difference."


def test_costs_are_summed_by_rule(tmp_path):
    head = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
    (tmp_path / "train_model").mkdir()
    for name, seconds, memory in (("train_model/a", 30, "500"), ("train_model/b", 90, "1000"), ("quick", 1, "-")):
        (tmp_path / f"{name}.tsv").write_text(f"{head}{seconds}\t0\t{memory}\t1\t1\t1\t1\t1\t90\t{2 * seconds}\n")
    rows = {row.cells[0].text: [cell.text for cell in row.cells[1:]] for row in cost_grid(tmp_path).rows}
    assert rows["train_model"] == ["2", "2 min", "2 min", "1.05 GB", "4 min"]
    assert rows["quick"] == ["1", "1 s", "1 s", "–", "2 s"]
    assert cost_grid(tmp_path / "none") is None


def test_hashes_are_those_of_the_files(tmp_path):
    (tmp_path / "a.tsv").write_text("content")
    (row,) = data_grid([tmp_path / "a.tsv"]).rows
    assert [cell.text for cell in row.cells] == [str(tmp_path / "a.tsv"), "7 B", sha256_file(tmp_path / "a.tsv")]


def test_versions_of_the_trained_model_are_printed(run, tmp_path):
    (tmp_path / "model.json").write_text(json.dumps({"versions": {"torch": "9.9.9"}}))
    root = read_page(run.write(tmp_path, files=run.files() | {"bundle": tmp_path / "model.json"}))
    facts = {row["Fact"]: row["Value"] for row in find(tables(root), "Settings and versions")}
    assert "torch 9.9.9" in facts["Versions"]
    assert "lifelines" in facts["Versions"]
    assert facts["Seed"] == "17"


def test_median_follow_up_is_the_reverse_kaplan_meier():
    patients = pd.DataFrame({"time_days": 365.25 * np.array([1, 2, 3, 4]), "event": [True, False, False, False]})
    # three left at years 2, 3, 4: followed 2/3, 1/3, 0
    assert follow_up(patients) == "3.0 (2.0 to 4.0)"
    assert follow_up(patients.assign(event=True)) == "–"
