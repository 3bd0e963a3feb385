"""The label audit: what must stop stops with its evidence, what is right passes, and right cohorts are left alone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from statsmodels.duration.hazard_regression import PHReg

from pathgptomic.cohort.audit import check_time_unit
from pathgptomic.cohort.polarity import check_polarity, cox_score_test
from tests.unit.cohort.facility import Facility

COVARIATES = {"age": "numeric", "sex": "nominal", "grade": {"ordinal": ["G1", "G2", "G3"]}}


def made_up(seed: int, effect: float, patients: int = 160, dead: bool = False) -> pd.DataFrame:
    """Return a clinical table with Weibull deaths, accrual over years, drop-out, and an effect of age and grade."""
    generator = np.random.default_rng(seed)
    age, grade = generator.normal(60, 12, patients), generator.integers(0, 3, patients)
    risk = effect * ((age - 60) / 12 + (grade - 1))
    death = 1800 * generator.weibull(1.2, patients) * np.exp(-risk)
    leave = np.minimum(generator.uniform(100, 3500, patients), generator.exponential(6000, patients))
    table = pd.DataFrame(
        {
            "time_days": np.maximum(1, np.minimum(death, leave)),
            "event": pd.array(death <= leave, dtype="boolean"),
            "age": [f"{value:.0f}" for value in age],
            "sex": generator.choice(["female", "male"], patients),
            "grade": np.array(["G1", "G2", "G3"])[grade],
        },
        index=pd.Index([f"P{n}" for n in range(patients)], name="patient_id"),
    )
    return table.assign(dead=table["event"]) if dead else table


def flipped(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(event=~table["event"])


def polarity(table: pd.DataFrame) -> str:
    return check_polarity(table, COVARIATES, None, "clinical.csv").status


@pytest.mark.parametrize("ties", [False, True])
def test_the_score_test_equals_statsmodels(ties: bool):
    table = made_up(3, 0.4)
    time = np.ceil(table["time_days"] / 200).to_numpy() if ties else table["time_days"].to_numpy()
    event, x = table["event"].to_numpy(bool), table["age"].astype(float).to_numpy()
    model = PHReg(time, x[:, None], event.astype(int), ties="breslow")
    zero = np.zeros(1)
    expected = model.score(zero)[0] / np.sqrt(-model.hessian(zero)[0, 0])
    assert cox_score_test(x, time, event) == pytest.approx(expected, rel=1e-8)


def test_the_score_test_knows_no_direction_without_information():
    assert cox_score_test(np.ones(5), np.arange(5.0), np.ones(5, bool)) == 0.0
    assert cox_score_test(np.arange(5.0), np.arange(5.0), np.zeros(5, bool)) == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_a_flipped_event_stops_and_the_right_one_passes(seed: int):
    table = made_up(seed, 0.6)
    assert polarity(table) == "pass"
    finding = check_polarity(flipped(table), COVARIATES, None, "clinical.csv")
    assert finding.status == "stop"
    assert "swap `observed` and `not_observed`" in finding.detail
    assert finding.evidence["z flipped"] > 3.1
    assert set(finding.evidence["z of each covariate, as given and flipped"]) == {"age", "grade"}


def test_a_right_cohort_without_any_effect_is_hardly_ever_stopped():
    statuses = [polarity(made_up(seed, 0.0, patients=100)) for seed in range(200)]
    assert statuses.count("stop") <= 2  # 1 % of cohorts in which nothing predicts anything
    assert statuses.count("warn") >= 190  # and it is said that the polarity cannot be settled


def test_a_right_cohort_whose_ill_patients_joined_late_is_not_stopped():
    # the end of follow-up depends on the covariates: the old and ill were recruited last, and leave early without dying
    table = made_up(1, 0.5, patients=400)
    latest = 2600 - 20 * (table["age"].astype(float) - 25) - 500 * (table["grade"] == "G3")
    shorter = table["time_days"] > latest
    table["time_days"] = table["time_days"].where(~shorter, latest)
    table["event"] = table["event"] & ~shorter
    finding = check_polarity(table, COVARIATES, None, "clinical.csv")
    assert finding.evidence["z flipped"] > 3.1
    assert finding.status == "pass"


def test_named_covariates_and_none():
    table = made_up(1, 0.6)
    named = check_polarity(table, COVARIATES, ["age"], "clinical.csv").evidence
    assert set(named["z of each covariate, as given and flipped"]) == {"age"}
    finding = check_polarity(table, {"sex": "nominal"}, None, "clinical.csv")
    assert finding.status == "warn"
    assert "median follow-up" in finding.detail


def test_a_vital_status_settles_it():
    table = made_up(2, 0.0, dead=True)
    assert polarity(table) == "pass"
    assert polarity(flipped(table)) == "stop"
    one = table.assign(event=table["event"] ^ (table.index == "P7"))
    finding = check_polarity(one, COVARIATES, None, "clinical.csv")
    assert finding.status == "warn"
    assert "differ for 1 of 160 patients, such as P7" in finding.detail


@pytest.mark.parametrize("everybody", [True, False])
def test_all_or_no_deaths_stop(everybody: bool):
    table = made_up(1, 0.6)
    assert polarity(table.assign(event=pd.array([everybody] * len(table), dtype="boolean"))) == "stop"


@pytest.mark.parametrize(
    ("true", "stated", "status"),
    [
        ("days", "days", "pass"),
        ("months", "months", "pass"),
        ("years", "years", "pass"),
        ("months", "days", "stop"),  # longest follow-up of 103 days
        ("years", "days", "stop"),
        ("days", "months", "stop"),  # 262 years
        ("days", "years", "stop"),
        ("months", "years", "stop"),
        ("years", "months", "stop"),  # longest follow-up of 9 months
        ("weeks", "days", "pass"),  # 1.2 years: possible, so not found; the evidence lists every unit
    ],
)
def test_the_time_unit(true: str, stated: str, status: str):
    days = {"days": 1.0, "weeks": 7.0, "months": 365.25 / 12, "years": 365.25}
    table = made_up(4, 0.5)
    table["time_days"] = table["time_days"] / days[true] * days[stated]
    finding = check_time_unit(table, stated, "clinical.csv")
    assert finding.status == status
    assert finding.evidence["longest in years, by unit"][true] == pytest.approx(8.6, abs=0.1)
    if status == "stop" and true != "years":
        assert f" {true} " in finding.detail
        assert "correct `time.unit`" in finding.detail


def test_an_age_beyond_life_stops():
    table = made_up(4, 0.5).assign(age="22000")
    finding = check_time_unit(table, "days", "clinical.csv")
    assert finding.status == "stop"
    assert "`age_unit`" in finding.detail


def rewrite(f: Facility, name: str, table: pd.DataFrame) -> None:
    table.to_csv(f.folder / f"{name}.csv")


def swap_event(f: Facility) -> None:
    f.table("clinical")["event"] = {"column": "event", "observed": [0]}


def months_as_days(f: Facility) -> None:
    rewrite(f, "clinical", f.clinical.assign(time_days=f.clinical["time_days"] / 30.44))


def days_as_months(f: Facility) -> None:
    f.table("clinical")["time"]["unit"] = "months"


def zero_time(f: Facility) -> None:
    rewrite(
        f,
        "clinical",
        f.clinical.assign(time_days=f.clinical["time_days"].where(f.clinical.index != f.clinical.index[3], 0)),
    )


def missing_event(f: Facility) -> None:
    rewrite(
        f,
        "clinical",
        f.clinical.astype(object).assign(event=f.clinical["event"].astype(object).where(f.clinical["age"] > 30)),
    )


def differing_rows(f: Facility) -> None:
    rewrite(f, "clinical", pd.concat([f.clinical, f.clinical.iloc[:2].assign(age=20)]))


def unknown_level(f: Facility) -> None:
    rewrite(f, "clinical", f.clinical.assign(grade=f.clinical["grade"].replace("G2", "G1")))


def text_in_a_number(f: Facility) -> None:
    rewrite(f, "clinical", f.clinical.assign(age=f.clinical["age"].astype(str) + " years"))


def ids_with_dots(f: Facility) -> None:
    rewrite(f, "cnv", f.cnv.set_axis(f.cnv.index.str.replace("-", ".")).rename_axis("patient_id"))


def sample_ids(f: Facility) -> None:
    rewrite(f, "cnv", f.cnv.set_axis(f.cnv.index + "-01A").rename_axis("patient_id"))


def other_people(f: Facility) -> None:
    rewrite(f, "cnv", f.cnv.set_axis([f"XX{n}" for n in range(len(f.cnv))]).rename_axis("patient_id"))


def lower_case(f: Facility) -> None:
    rewrite(f, "cnv", f.cnv.set_axis(f.cnv.index.str.lower()).rename_axis("patient_id"))


@pytest.mark.parametrize(
    ("mistake", "sentences"),
    [
        (swap_event, ["the event looks flipped", "swap `observed` and `not_observed`"]),
        (months_as_days, ["times in days make the longest follow-up 0.", "as weeks or months", "correct `time.unit`"]),
        (days_as_months, ["times in months make the longest follow-up 2", "as days", "correct `time.unit`"]),
        (zero_time, ["1 patients have a time of zero or less", "audit.non_positive_time: drop"]),
        (missing_event, ["patients have no time or no event", "audit.missing_outcome: drop"]),
        (differing_rows, ["2 patients have rows that differ", "for age", "`replicates: first`"]),
        (unknown_level, ["covariate grade holds 'G1'", "add the level in its place"]),
        (text_in_a_number, ["covariate age holds", "years'"]),
        (ids_with_dots, ["0 of its 80 patients", "here TCGA.", "there TCGA-", 'id: {replace: {".": "-"}}', "80 more"]),
        (sample_ids, ["set `id: {characters: 12}`", "80 more"]),
        (other_people, ["here XX0, XX1", "correct `patient` or `id`"]),
        (lower_case, ["differ in upper and lower case"]),
    ],
)
def test_a_mistake_stops_the_build_with_a_sentence(tmp_path: Path, mistake: Callable, sentences: list[str]):
    facility = Facility(tmp_path)
    mistake(facility)
    with pytest.raises(ValueError, match=str(tmp_path)) as caught:
        facility.build()
    for sentence in sentences:
        assert sentence in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_all_mistakes_are_said_at_once(tmp_path: Path):
    facility = Facility(tmp_path)
    swap_event(facility)
    days_as_months(facility)
    sample_ids(facility)
    with pytest.raises(ValueError, match="flipped") as caught:
        facility.build()
    assert len(str(caught.value).splitlines()) == 3


def test_what_may_be_dropped_or_overruled_is(tmp_path: Path):
    facility = Facility(tmp_path)
    swap_event(facility)
    table = facility.clinical.astype(object)
    table.loc[table.index[:2], "time_days"] = [0, "NA"]
    rewrite(facility, "clinical", pd.concat([table, table.iloc[5:6].assign(age=20)]))
    facility.table("clinical")["replicates"] = "first"
    facility.cohort["audit"] |= {
        "event_polarity": "warn",
        "non_positive_time": "drop",
        "missing_outcome": "drop",
    }
    built = facility.build()
    assert len(built.patients) == 78
    assert built.audit["event polarity"]["status"] == "warn"
    assert "looks flipped" in built.audit["event polarity"]["detail"]
    assert built.audit["duplicate patients"]["status"] == "warn"
    assert built.audit["outcome"]["evidence"]["not positive"] == 1
