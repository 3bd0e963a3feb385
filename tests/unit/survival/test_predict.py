from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pathgptomic.cohort.bags import Bags, write_bags
from pathgptomic.cohort.tables import read_expression, read_features, write_expression
from pathgptomic.survival.predict import predict_patients
from tests.unit.survival.synthetic import MODALITIES, make_cohort
from tests.unit.survival.test_train import run, settings

MONTHS = [12, 36.5]


@pytest.fixture(scope="module")
def model(cohort, tmp_path_factory):
    """Return the files of a model on a cohort without gaps."""
    files = run(cohort, tmp_path_factory.mktemp("model"), settings(training={"epochs": 25}))
    return {name: files[name] for name in ("weights", "facts")}


@pytest.fixture(scope="module")
def masked_model(masked_cohort, tmp_path_factory):
    """Return the files of a model on a cohort with gaps."""
    files = run(masked_cohort, tmp_path_factory.mktemp("masked-model"), settings())
    return {name: files[name] for name in ("weights", "facts")}


@pytest.fixture(scope="module")
def newcomers(tmp_path_factory) -> dict[str, str]:
    """Return the tables of patients that no model has seen, without their outcomes."""
    paths = make_cohort(tmp_path_factory.mktemp("new"), patients=40, seed=99)
    patients = pd.read_csv(paths["patients"], sep="\t").drop(columns=["time_days", "event"])
    clinical = Path(paths["patients"]).with_name("clinical.csv")
    patients.to_csv(clinical, index=False)
    return {"clinical": str(clinical)} | {name: paths[name] for name in MODALITIES if name in paths}


def predicted(model, tables, tmp_path, months=MONTHS) -> pd.DataFrame:
    out = tmp_path / "new_patients.tsv"
    predict_patients(**model, tables=tables, months=months, out=str(out))
    return pd.read_csv(out, sep="\t", keep_default_na=False).set_index("patient_id")


def test_new_patients_get_risk_and_survival(model, newcomers, tmp_path):
    table = predicted(model, newcomers, tmp_path)
    assert list(table.columns) == [
        "log_hazard", "risk_percentile", "risk_group", "survival_12", "survival_36.5", "lacking",
    ]  # fmt: skip
    assert len(table) == 40
    assert (table["survival_36.5"] <= table["survival_12"]).all()
    assert table[["survival_12", "survival_36.5"]].stack().between(0, 1).all()
    ordered = table.sort_values("log_hazard")
    assert ordered["survival_12"].is_monotonic_decreasing
    assert ordered["risk_percentile"].is_monotonic_increasing
    assert list(dict.fromkeys(ordered["risk_group"])) == ["low", "middle", "high"]
    assert (table["lacking"] == "").all()


def test_order_and_company_of_patients_and_features_do_not_matter(model, newcomers, tmp_path):
    expected = predicted(model, newcomers, tmp_path)
    few = list(expected.index[::-3])
    tables = dict(newcomers)
    for name in ("cnv", "mutations"):
        table = read_features(newcomers[name])
        table["another feature"] = 1.0
        tables[name] = str(tmp_path / f"{name}.csv")
        table.loc[few, table.columns[::-1]].to_csv(tables[name])
    expression, scale = read_expression(newcomers["expression"])
    tables["expression"] = str(tmp_path / "expression.h5ad")
    write_expression(tables["expression"], expression.loc[few, expression.columns[::-1]], scale)
    clinical = pd.read_csv(newcomers["clinical"], dtype=str).set_index("patient_id").loc[few]
    clinical.to_csv(tmp_path / "clinical.tsv", sep="\t")
    tables["clinical"] = str(tmp_path / "clinical.tsv")
    tables["slides"] = _bags_of(newcomers["slides"], few, tmp_path / "bags")
    found = predicted(model, tables, tmp_path)
    pd.testing.assert_frame_equal(found.sort_index(), expected.loc[few].sort_index(), check_exact=False, rtol=1e-4)


def _bags_of(path: str, patients: list[str], folder: Path) -> str:
    bags = Bags.load(Path(path).parent)
    rows = [(0, patient, bags.bag(1, patient)) for patient in patients]
    write_bags(folder, rows, features=bags.features, source="", in_sample_train=False)
    return str(folder / "bags.npy")


def without_column(name: str, source: str, column: str, tmp_path) -> str:
    table = read_features(source).drop(columns=column)
    table.to_csv(tmp_path / f"{name}.csv")
    return str(tmp_path / f"{name}.csv")


def test_missing_features_are_refused_with_examples(model, newcomers, tmp_path):
    tables = newcomers | {"cnv": without_column("cnv", newcomers["cnv"], "arm2", tmp_path)}
    with pytest.raises(ValueError, match=r"lacks 1 of the 4 features that the model was trained with, such as arm2"):
        predicted(model, tables, tmp_path)


def test_expression_on_another_scale_is_refused(model, newcomers, tmp_path):
    expression, _ = read_expression(newcomers["expression"])
    path = str(tmp_path / "linear.h5ad")
    write_expression(path, expression.abs(), "linear")
    with pytest.raises(ValueError, match="is on the scale linear, the model was trained on zscore"):
        predicted(model, newcomers | {"expression": path}, tmp_path)


def test_a_missing_table_is_refused(model, newcomers, tmp_path):
    tables = {name: path for name, path in newcomers.items() if name != "mutations"}
    with pytest.raises(ValueError, match="trained with mutations, for which no table is given"):
        predicted(model, tables, tmp_path)


def test_a_missing_covariate_is_refused_and_an_empty_cell_is_not(model, newcomers, tmp_path):
    clinical = pd.read_csv(newcomers["clinical"], dtype=str)
    clinical.loc[3, "grade"] = None
    clinical.to_csv(tmp_path / "gap.csv", index=False)
    assert len(predicted(model, newcomers | {"clinical": str(tmp_path / "gap.csv")}, tmp_path)) == 40
    clinical.drop(columns="grade").to_csv(tmp_path / "none.csv", index=False)
    with pytest.raises(ValueError, match="lacks the covariate 'grade' that the model was trained with"):
        predicted(model, newcomers | {"clinical": str(tmp_path / "none.csv")}, tmp_path)


def test_an_unknown_level_and_words_in_numbers_are_refused(model, newcomers, tmp_path):
    for column, value, sentence in (
        ("grade", "G9", "which is none of its levels"),
        ("age", "old", "is numeric but holds 'old'"),
    ):
        clinical = pd.read_csv(newcomers["clinical"], dtype=str)
        clinical.loc[0, column] = value
        clinical.to_csv(tmp_path / "odd.csv", index=False)
        with pytest.raises(ValueError, match=sentence):
            predicted(model, newcomers | {"clinical": str(tmp_path / "odd.csv")}, tmp_path)


def test_words_in_a_feature_table_are_refused(model, newcomers, tmp_path):
    table = read_features(newcomers["cnv"]).astype(object)
    table.iloc[0, 0] = "gain"
    table.to_csv(tmp_path / "words.csv")
    with pytest.raises(ValueError, match="column arm0 holds 'gain', which is no number"):
        predicted(model, newcomers | {"cnv": str(tmp_path / "words.csv")}, tmp_path)


def test_image_features_of_another_encoder_are_refused(model, newcomers, tmp_path):
    write_bags(tmp_path, [(0, "P0001", np.ones((2, 4)))], features=list("abcd"), source="", in_sample_train=False)
    with pytest.raises(ValueError, match=r"holds 4 features \(a, b, c\), the model was trained with 3 \(f0, f1, f2\)"):
        predicted(model, newcomers | {"slides": str(tmp_path / "bags.npy")}, tmp_path)


def test_a_modality_that_no_training_patient_lacked_cannot_be_missing(model, newcomers, tmp_path):
    table = read_features(newcomers["mutations"]).iloc[5:]
    cnv = read_features(newcomers["cnv"]).iloc[5:]
    table.to_csv(tmp_path / "m.csv")
    cnv.to_csv(tmp_path / "c.csv")
    tables = newcomers | {"mutations": str(tmp_path / "m.csv"), "cnv": str(tmp_path / "c.csv")}
    with pytest.raises(ValueError, match="5 patients, such as P0000, have no cnv or mutations, which every training"):
        predicted(model, tables, tmp_path)


def test_a_model_trained_with_gaps_predicts_patients_with_gaps(masked_model, newcomers, tmp_path):
    expected = predicted(masked_model, newcomers, tmp_path)
    tables = newcomers | {"slides": _bags_of(newcomers["slides"], list(expected.index[10:]), tmp_path / "bags")}
    found = predicted(masked_model, tables, tmp_path)
    assert (found["lacking"].iloc[:10] == "slides").all()
    assert (found["lacking"].iloc[10:] == "").all()
    np.testing.assert_allclose(found["log_hazard"].iloc[10:], expected["log_hazard"].iloc[10:], rtol=1e-4)
    assert (found["log_hazard"].iloc[:10] != expected["log_hazard"].iloc[:10]).all()


def test_a_patient_twice_is_refused(model, newcomers, tmp_path):
    clinical = pd.read_csv(newcomers["clinical"], dtype=str)
    pd.concat([clinical, clinical.iloc[:1]]).to_csv(tmp_path / "twice.csv", index=False)
    with pytest.raises(ValueError, match="lists patient P0000 twice"):
        predicted(model, newcomers | {"clinical": str(tmp_path / "twice.csv")}, tmp_path)
