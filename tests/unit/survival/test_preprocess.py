"""Covariate encoding and feature scaling: fitted on training patients, exact after a round trip through JSON."""

import json
import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pathgptomic.survival.preprocess import Covariate, CovariateEncoder, FeatureScaler, restricted_cubic

SPEC = {"age": "numeric", "sex": "nominal", "grade": {"ordinal": ["G2", "G3", "G4"]}}


@pytest.fixture
def clinical() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "age": [40.0, 50.0, 60.0, 70.0, np.nan],
            "sex": ["male", "female", "male", "male", "female"],
            "grade": ["G2", "G4", "G4", None, "G3"],
        }
    )


def test_hand_computed_columns(clinical):
    encoder = CovariateEncoder.fit(clinical.iloc[:4], SPEC)
    assert encoder.names == ("age", "sex=female", "grade", "grade missing")
    coded = encoder.transform(clinical.iloc[:4])
    np.testing.assert_allclose(coded.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(coded.std(axis=0), 1, atol=1e-6)
    # the missing grade takes the median rank (2 of 0, 2, 2), the missing age of a new patient the median age 55
    assert coded[3, 2] == coded[1, 2]
    assert encoder.transform(clinical.iloc[4:])[0, 0] == pytest.approx(0.0)


def test_indicator_only_where_a_stated_share_is_missing():
    table = pd.DataFrame({"age": [np.nan] + [50.0, 60.0] * 20})
    assert CovariateEncoder.fit(table, {"age": "numeric"}).names == ("age",)
    table.loc[:1, "age"] = np.nan
    table.loc[5, "age"] = np.nan
    assert CovariateEncoder.fit(table, {"age": "numeric"}).names == ("age", "age missing")


def test_unseen_nominal_level_is_the_reference_and_logged(clinical, caplog):
    encoder = CovariateEncoder.fit(clinical, {"sex": "nominal"})
    new = pd.DataFrame({"sex": ["unknown", "male"]})
    with caplog.at_level(logging.WARNING):
        coded = encoder.transform(new)
    assert coded[0, 0] == coded[1, 0]
    assert "'unknown'" in caplog.text


@pytest.mark.parametrize(
    ("spec", "column", "value", "says"),
    [
        ({"grade": {"ordinal": ["G2", "G3"]}}, "grade", "G4", "'G4', which is none of its levels G2, G3"),
        ({"age": "numeric"}, "age", "old", "numeric but holds 'old'"),
        ({"age": "number"}, "age", 3, "has the kind 'number'"),
        ({"stage": "numeric"}, "age", 3, "'stage' is not a column"),
    ],
)
def test_refusals_are_sentences(spec, column, value, says):
    with pytest.raises(ValueError, match=says):
        CovariateEncoder.fit(pd.DataFrame({column: [value]}), spec)


def test_levels_read_as_numbers_or_text_are_one():
    spec = {"stage": {"ordinal": [1, 2, 3]}}
    numbers = pd.DataFrame({"stage": [1.0, 2.0, np.nan, 3.0]})
    text = pd.DataFrame({"stage": ["1", "2", None, "3"]})
    encoder = CovariateEncoder.fit(numbers, spec)
    np.testing.assert_array_equal(encoder.transform(numbers), encoder.transform(text))


def test_constant_and_wholly_missing_covariates_are_dropped():
    table = pd.DataFrame({"age": [50.0, 60.0], "sex": ["male", "male"], "bmi": [np.nan, np.nan], "race": [None, None]})
    spec = {"age": "numeric", "sex": "nominal", "bmi": "numeric", "race": "nominal"}
    assert CovariateEncoder.fit(table, spec).names == ("age",)


def test_spline_is_linear_outside_its_knots_and_smooth_inside():
    x = np.linspace(-5, 15, 2001)
    y = restricted_cubic(x, (0.0, 4.0, 10.0))
    second = np.diff(y, 2)
    assert np.all(y[x < 0] == 0)
    np.testing.assert_allclose(second[x[1:-1] > 10.02], 0, atol=1e-9)
    assert np.abs(np.diff(second)).max() < 1e-4  # continuous second derivative
    # the same function as Harrell's formula written out at one point
    assert restricted_cubic(np.array([6.0]), (0.0, 4.0, 10.0))[0] == pytest.approx((6**3 - 2**3 * 10 / 6) / 100)


def test_spline_adds_one_column_and_fits_knots_in_training(clinical):
    table = pd.DataFrame({"age": np.arange(101.0)})
    encoder = CovariateEncoder.fit(table, {"age": "numeric"}, smooth=["age"])
    assert encoder.names == ("age", "age'")
    assert encoder.covariates[0].knots == (10.0, 50.0, 90.0)


def test_encoder_survives_json(clinical):
    encoder = CovariateEncoder.fit(clinical, SPEC, smooth=["age"])
    again = CovariateEncoder.from_dict(json.loads(json.dumps(encoder.to_dict(), allow_nan=False)))
    assert again == encoder
    assert isinstance(again.covariates[0], Covariate)
    np.testing.assert_array_equal(again.transform(clinical), encoder.transform(clinical))


def test_scaler_standardises_training_features_only():
    values = np.random.default_rng(0).normal(3, 2, (200, 4))
    table = pd.DataFrame(values, columns=list("abcd"))
    scaler = FeatureScaler.fit(table.iloc[:150])
    scaled = scaler.transform(table.iloc[:150])
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(scaled.std(axis=0), 1, atol=1e-5)
    # a test patient changes nothing in the fit
    changed = table.copy()
    changed.iloc[150:] = 1e6
    assert FeatureScaler.fit(changed.iloc[:150]) == scaler


def test_one_absurd_value_does_not_flatten_the_feature():
    values = np.random.default_rng(1).normal(size=(400, 1))
    clean = FeatureScaler.fit(pd.DataFrame(values, columns=["gene"])).transform(pd.DataFrame(values, columns=["gene"]))
    values[0] = 3515.0
    table = pd.DataFrame(values, columns=["gene"])
    scaled = FeatureScaler.fit(table).transform(table)
    assert scaled[0, 0] <= 5
    assert np.corrcoef(clean[1:, 0], scaled[1:, 0])[0, 1] > 0.9999
    assert scaled[1:].std() > 0.9


def test_scaler_drops_constant_and_empty_features_and_imputes_the_median():
    table = pd.DataFrame(
        {"constant": [1.0, 1, 1, 1], "empty": [np.nan] * 4, "half": [1.0, np.nan, 3, 2], "rare": [0.0, 0, 0, 1]}
    )
    scaler = FeatureScaler.fit(table)
    assert scaler.names == ("half", "rare")
    scaled = scaler.transform(table)
    assert scaled[1, 0] == scaled[3, 0]  # the median of 1, 3, 2 is 2
    assert scaled[3, 1] == pytest.approx((1 - 0.25) / np.sqrt(0.1875))


def test_variance_selection_keeps_table_order():
    rng = np.random.default_rng(2)
    table = pd.DataFrame({"a": rng.normal(0, 3, 90), "b": rng.normal(0, 1, 90), "c": rng.normal(0, 9, 90)})
    assert FeatureScaler.fit(table, variance=2).names == ("a", "c")
    assert FeatureScaler.fit(table, variance=5).names == ("a", "b", "c")


def test_scaler_log_and_json():
    table = pd.DataFrame({"gene": [0.0, 1, 3, 7, 15]})
    scaler = FeatureScaler.fit(table, log=True)
    assert scaler.mean == (2.0,)
    again = FeatureScaler.from_dict(json.loads(json.dumps(scaler.to_dict(), allow_nan=False)))
    assert again == scaler


def test_scaler_refuses_a_table_without_its_features():
    scaler = FeatureScaler.fit(pd.DataFrame({"a": [0.0, 1], "b": [1.0, 0]}))
    with pytest.raises(ValueError, match="1 of 2 features .* for example 'b'"):
        scaler.transform(pd.DataFrame({"a": [1.0]}))


def test_a_modality_without_features():
    empty = pd.DataFrame(index=["p1", "p2"])
    assert FeatureScaler.fit(empty).transform(empty).shape == (2, 0)
    assert CovariateEncoder.fit(empty, {}).transform(empty).shape == (2, 0)


@given(st.lists(st.floats(-1e6, 1e6, width=32) | st.just(float("nan")), min_size=2, max_size=30))
def test_scaled_values_are_finite_and_bounded(values):
    table = pd.DataFrame({"x": np.array(values, np.float32)})
    scaled = FeatureScaler.fit(table).transform(table)
    assert np.isfinite(scaled).all()
    assert np.abs(scaled).max(initial=0) <= 5


def test_quantiles_agree_with_numpy():
    values = np.random.default_rng(3).normal(size=(57, 20)).astype(np.float32)
    values[np.random.default_rng(4).random(values.shape) < 0.3] = np.nan
    table = pd.DataFrame(values, columns=[f"g{i}" for i in range(20)])
    np.testing.assert_allclose(FeatureScaler.fit(table).fill, np.nanmedian(values, axis=0), rtol=1e-6)
