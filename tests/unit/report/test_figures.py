import re
import shutil
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pathgptomic.report import style
from pathgptomic.report.balance_view import balance_rows
from pathgptomic.report.figures_balance import apart, plot_balance
from pathgptomic.report.figures_flow import flow_steps, plot_flow, split_words
from pathgptomic.report.figures_forest import plot_forest
from pathgptomic.report.figures_gap import gap_models, gap_values
from pathgptomic.report.figures_survival import at_risk, horizon, plot_survival_curves, year_ticks
from pathgptomic.report.sources import read_table
from pathgptomic.report.svg import load_drawing
from pathgptomic.report.wording import interval, number, p_value, signed
from tests.unit.report.conftest import draw

SVG = "{http://www.w3.org/2000/svg}"
NAMESPACES = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def words(path) -> list[str]:
    return [element.text for element in ElementTree.parse(path).iter(f"{SVG}text")]


def figures(run) -> list:
    return sorted(run.figures.rglob("*.svg"))


def test_every_figure_is_drawn_once_a_model(run):
    names = {str(path.relative_to(run.figures).with_suffix("")) for path in figures(run)}
    single = {"forest", "forest_narrow", "gap", "flow"}
    everywhere = {f"{kind}/{model}" for kind in ("survival_curves", "calibration") for model in run.catalogue}
    fused = {f"balance/{model}" for model, facts in run.catalogue.items() if facts["strategy"]}
    assert names == single | everywhere | fused
    assert "balance/slides" not in fused


def test_figures_are_small_described_svg_without_outside_references(run):
    for path in figures(run):
        root = ElementTree.parse(path).getroot()
        assert root.tag == f"{SVG}svg", path
        assert root.get("role") == "img"
        assert len(root.find(f"{SVG}title").text) > 5
        assert len(root.find(f"{SVG}desc").text) > 20
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"https?://[^\"'\s<>]*", text)) <= NAMESPACES, path
        assert "<metadata" not in text
        assert "DOCTYPE" not in text
        assert path.stat().st_size < 150_000


def test_figures_are_the_same_bytes_when_drawn_again(run, tmp_path):
    shutil.copytree(run.figures, tmp_path / "first")
    draw(run)
    for path in figures(run):
        assert path.read_bytes() == (tmp_path / "first" / path.relative_to(run.figures)).read_bytes(), path


@pytest.mark.parametrize("name", ["forest", "forest_narrow"])
def test_forest_prints_the_numbers_of_the_summary(run, name):
    found = words(run.figures / f"{name}.svg")
    summary = read_table(run.evaluation / "summary.tsv")
    for row in summary.to_dict("records"):
        assert row["title"] in found
        assert number(row["c_mean"]) in found
        assert interval(row["c_ci_low"], row["c_ci_high"]) in found
        if row["kind"] == "model":
            verdict = row["delta_clinical_verdict"].replace("not distinguishable", "n.d.")
            assert f"{signed(row['delta_clinical'])}  {verdict}" in found
    assert any("90 patients" in text and "3 test folds" in text for text in found)


def test_titles_that_look_like_markup_stay_text(run, tmp_path):
    title = '<script>alert("1")</script> & $x^2$'
    for name in ("summary", "metrics"):
        shutil.copy(run.evaluation / f"{name}.tsv", tmp_path)
    table = pd.read_csv(tmp_path / "summary.tsv", sep="\t", keep_default_na=False)
    table.loc[0, "title"] = title
    table.to_csv(tmp_path / "summary.tsv", sep="\t", index=False)
    plot_forest(
        summary=tmp_path / "summary.tsv",
        metrics=tmp_path / "metrics.tsv",
        headline="path-gptomic",
        clinical="clinical-cox",
        out=tmp_path / "forest.svg",
        narrow=tmp_path / "narrow.svg",
    )
    root = ElementTree.parse(tmp_path / "forest.svg").getroot()
    assert title in [element.text for element in root.iter(f"{SVG}text")]
    assert title in root.find(f"{SVG}desc").text
    assert not list(root.iter(f"{SVG}script"))
    load_drawing(tmp_path / "forest.svg", folder=tmp_path)


def test_risk_group_figure_prints_numbers_at_risk_log_rank_and_hazard_ratio(run):
    curves, groups = (read_table(run.evaluation / f"{name}.tsv") for name in ("survival_curves", "risk_groups"))
    model = "path-gptomic"
    found = words(run.figures / "survival_curves" / f"{model}.svg")
    groups = groups[(groups["model"] == model) & (groups["fold"] == "pooled")].sort_values("group")
    assert any(p_value(groups["logrank_p"].iloc[0]) in text for text in found)
    last = groups.iloc[-1]
    ratio = f"{number(last['hazard_ratio'], 1)} (95 % CI {interval(last['ci_low'], last['ci_high'], 1)})"
    assert any(ratio in text for text in found)
    own = curves[curves["model"] == model]
    ticks = year_ticks(horizon(own)) * 365.25
    risks = read_table(run.evaluation / "risks.tsv")
    risks = risks[risks["model"] == model]
    for number_, rows in own.groupby("group"):
        counted = [int(((risks["group"] == number_) & (risks["time_days"] >= day)).sum()) for day in ticks]
        assert list(at_risk(rows.sort_values("time_days"), ticks)) == counted
        assert all(str(amount) in found for amount in counted)


def test_curves_end_where_almost_nobody_is_followed():
    curves = pd.DataFrame({"group": 1, "time_days": [0.0, 100, 200, 4000], "at_risk": [100, 100, 50, 1]})
    assert horizon(curves) == 200


def test_a_group_without_patients_is_left_out(run, tmp_path):
    table = read_table(run.evaluation / "survival_curves.tsv")
    table = table[(table["model"] == "path-gptomic") & (table["group"] != 2)]
    table.to_csv(tmp_path / "curves.tsv", sep="\t", index=False)
    plot_survival_curves(
        curves=tmp_path / "curves.tsv",
        groups=run.evaluation / "risk_groups.tsv",
        summary=run.evaluation / "summary.tsv",
        out=tmp_path / "out",
    )
    found = words(tmp_path / "out" / "path-gptomic.svg")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["path-gptomic.svg"]
    assert "high risk" in found
    assert "intermediate risk" not in found


def test_calibration_figure_says_the_slope_and_the_distance_of_the_table(run):
    summary = read_table(run.evaluation / "summary.tsv").set_index("model")
    table = read_table(run.evaluation / "calibration.tsv")
    for model in run.catalogue:
        path = run.figures / "calibration" / f"{model}.svg"
        text = " ".join(words(path))
        assert f"calibration slope {number(summary.loc[model, 'calibration_slope'], 2)}" in text
        rows = table[(table["model"] == model) & (table["group"] > 0) & (table["horizon"] == "12m")]
        distance = 100 * (rows["observed"] - rows["predicted"]).abs().mean()
        assert (
            f"{distance:.0f} percentage points after 1 year"
            in ElementTree.parse(path).getroot().find(f"{SVG}desc").text
        )


def test_balance_summary_is_the_mean_over_folds_and_inner_networks():
    rows = [
        # fold, seed, inner, epoch, quantity, branch, value
        (1, 1, 0, 1, "c_train", "slides", 0.8),
        (2, 1, 0, 1, "c_train", "slides", 0.6),
        (2, 1, 0, 2, "c_train", "slides", 0.9),
        (1, 1, 1, 1, "c_train", "slides", 0.1),  # an inner network does not count where the whole one has a value
        (1, 1, 1, 1, "c_inner", "slides", 0.5),
        (1, 1, 2, 1, "c_inner", "slides", 0.7),
        (2, 1, 1, 1, "c_inner", "slides", 0.9),
        (1, 1, 0, 1, "loss", "", np.nan),
    ]
    columns = ["fold", "seed", "inner", "epoch", "quantity", "branch", "value"]
    table = balance_rows("m", pd.DataFrame(rows, columns=columns)).set_index(["quantity", "epoch"])
    assert table.loc[("c_train", 1), "mean"] == pytest.approx(0.7)
    assert table.loc[("c_train", 1), "n"] == 2
    # fold 1 has stopped and keeps its 0.8
    assert table.loc[("c_train", 2), ["mean", "low", "high", "n"]].tolist() == pytest.approx([0.85, 0.81, 0.89, 1])
    assert table.loc[("c_inner", 1), "mean"] == pytest.approx(0.75)  # of (0.5 + 0.7) / 2 and 0.9
    assert table.loc[("c_inner", 1), "low"] == pytest.approx(0.63)
    assert "loss" not in table.index.get_level_values("quantity")


def test_balance_figures_share_their_scales(run):
    ticks = {
        path.name: [text for text in words(path) if text.startswith(("0.", "1/", "1", "2"))][:30]
        for path in (run.figures / "balance").iterdir()
    }
    assert len({tuple(each) for each in ticks.values()}) == 1


def test_no_history_gives_an_empty_folder(run, tmp_path):
    (tmp_path / "balance.tsv").write_text("model\tbranch\tepoch\tquantity\tmean\tlow\thigh\tn\n")
    plot_balance(balance=tmp_path / "balance.tsv", summary=run.evaluation / "summary.tsv", out=tmp_path / "balance")
    assert list((tmp_path / "balance").iterdir()) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_names_stand_apart_and_in_order(heights):
    moved = apart(sorted(heights), 0.1)
    assert np.diff(moved).min(initial=1) > 0.09
    assert min(moved) >= 0
    assert max(moved) <= 1


def test_gap_shows_the_means_of_the_metrics(run):
    models = gap_models(run.catalogue)
    assert models == ["path-gptomic", "unbalanced", "reversed", "slides"]
    metrics, summary = (read_table(run.evaluation / f"{name}.tsv") for name in ("metrics", "summary"))
    values = gap_values(metrics, models)
    summary = summary.set_index("model").loc[models]
    assert values["harrell_c"].to_numpy() == pytest.approx(summary["c_mean"].to_numpy())
    assert values["harrell_c_train"].to_numpy() == pytest.approx(summary["c_train"].to_numpy())
    found = words(run.figures / "gap.svg")
    for _, row in values.iterrows():
        assert number(row["harrell_c_train"] - row["harrell_c"]) in found


def test_flow_shows_every_exclusion_and_the_folds(run):
    found = words(run.figures / "flow.svg")
    assert "120 patients, 95 deaths" in found
    assert "30 excluded: slides" in found
    assert "90 patients, 70 deaths" in found
    assert "30 no slide" in found
    assert any("3 test folds of 30 patients" in text for text in found)


def test_flow_leaves_out_steps_that_excluded_nobody(tmp_path, run):
    flow = pd.DataFrame(
        {
            "step": ["all", "labels", "slides"],
            "reason": ["a row", "no time", "a reason too long for one line, " * 6],
            "dropped": [0, 0, 3],
            "remaining": [12, 12, 9],
            "events": [4, 4, 3],
            "examples": "",
        }
    )
    assert [step.name for step in flow_steps(flow)] == ["all", "slides"]
    flow.to_csv(tmp_path / "flow.tsv", sep="\t", index=False)
    plot_flow(flow=tmp_path / "flow.tsv", splits=run.folder / "splits.tsv", out=tmp_path / "flow.svg")
    root = ElementTree.parse(tmp_path / "flow.svg").getroot()
    height = float(root.get("viewBox").split()[3])
    assert all(0 < float(element.get("y")) < height for element in root.iter(f"{SVG}text"))


def test_reasons_of_one_step_share_a_box():
    flow = pd.DataFrame(
        [("all", "a row", 0, 20, 9), ("m", "no cnv", 2, 18, 8), ("m", "no slides", 3, 15, 7), ("x", "late", 1, 14, 7)],
        columns=["step", "reason", "dropped", "remaining", "events"],
    )
    first, second, third = flow_steps(flow)
    assert (first.remaining, first.excluded) == (20, {})
    assert (second.remaining, second.events, second.excluded) == (15, 7, {"no cnv": 2, "no slides": 3})
    assert (third.remaining, third.excluded) == (14, {"late": 1})


@pytest.mark.parametrize(
    ("folds", "expected"),
    [
        ([["a", "b"], ["c", "d"]], "2 test folds of 2 patients (each patient tested once)"),
        ([["a", "b"], ["a", "c"]], "2 test folds of 2 patients (test parts overlap)"),
        ([["a"]], "1 test part of 1 patients (each patient tested at most once)"),
        ([["a", "b"], ["c"]], "2 test folds of 1 to 2 patients (each patient tested at most once)"),
    ],
)
def test_split_in_words(folds, expected):
    rows = [
        (fold, patient, "test" if patient in test else "train")
        for fold, test in enumerate(folds, start=1)
        for patient in "abcd"
    ]
    assert split_words(pd.DataFrame(rows, columns=["fold", "patient_id", "role"])).startswith(expected)


def test_text_colours_read_on_white():
    def luminance(colour: str) -> float:
        channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    for colour in (style.INK, style.MUTED, style.BLUE, style.ORANGE, style.GREEN, style.PURPLE):
        assert 1.05 / (luminance(colour) + 0.05) >= 4.5, colour


@pytest.mark.parametrize(
    "content",
    [
        "<svg><script>alert(1)</script></svg>",
        '<svg><image href="https://example.org/x.png"/></svg>',
        '<svg onload="alert(1)"></svg>',
        '<svg><a xlink:href="javascript:alert(1)">x</a></svg>',
        "<html></html>",
    ],
)
def test_a_drawing_that_could_do_harm_is_refused(tmp_path, content):
    (tmp_path / "bad.svg").write_text(content)
    with pytest.raises(ValueError, match="bad.svg"):
        load_drawing(tmp_path / "bad.svg", folder=tmp_path)
