"""What is fitted, and that it is fitted on nothing but what it was given."""

from __future__ import annotations

import itertools
import json
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest

from pipeline.core.encoding import encode
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.features import Column, Feature, FeatureSet, Label, NumericFeature, Task
from pipeline.core.records import LABEL
from pipeline.core.schema import build, dump
from pipeline.preprocess.config import ColumnConfig, CrossConfig
from pipeline.preprocess.fit import fit_features
from pipeline.preprocess.fit_columns import embedding_dimension, quantile_boundaries
from pipeline.preprocess.summary import LabelSummary
from pipeline.preprocess.summary_cells import Cells, occurring
from pipeline.preprocess.training_rows import FrameRows

NAN = float("nan")


def fit(
    table: dict[str, list[Any]],
    columns: dict[str, dict[str, Any]],
    crosses: dict[str, dict[str, Any]] | None = None,
    *,
    labels: list[float] | None = None,
    task: Task = "binary",
) -> FeatureSet:
    frame = pd.DataFrame(table)
    frame[LABEL] = labels or [i % 2 for i in range(len(frame))]
    classes = () if task == "regression" else ("no", "yes")
    seen = LabelSummary(len(classes))
    seen.add(frame[LABEL].to_numpy())
    configs = {name: build(ColumnConfig, how, name) for name, how in columns.items()}
    return fit_features(
        FrameRows(frame, configs),
        columns=configs,
        crosses={name: build(CrossConfig, how, name) for name, how in (crosses or {}).items()},
        label=Label(column="y", task=task, classes=classes),
        kept=("id",),
        rows={"train": len(frame), "test": 7},
        label_seen=seen,
    )


def number(values: list[float], **how: Any) -> NumericFeature:
    feature = only({"x": values}, {"kind": "numeric", **how})
    assert isinstance(feature, NumericFeature)
    return feature


def only(table: dict[str, list[Any]], how: dict[str, Any]) -> Feature:
    (feature,) = fit(table, {"x": how}).features
    return feature


def test_standard_scaling_gives_mean_zero_and_deviation_one() -> None:
    values = np.random.default_rng(0).lognormal(3, 2, 1000)
    fitted = fit({"x": values.tolist()}, {"x": {"kind": "numeric", "log": True}})
    dense = encode(pd.DataFrame({"x": values}), fitted).dense[:, 0]
    assert dense.mean() == pytest.approx(0, abs=1e-6)
    assert dense.std() == pytest.approx(1, abs=1e-6)


def test_min_max_scaling_gives_zero_to_one() -> None:
    feature = number([5.0, NAN, 9.0, 7.0], scaling="min_max")
    assert (feature.center, feature.scale) == (5.0, 4.0)


def test_no_scaling_keeps_the_number() -> None:
    feature = number([5.0, 9.0], scaling="none")
    assert (feature.center, feature.scale) == (0.0, 1.0)


def test_statistics_are_of_clipped_and_logged_numbers() -> None:
    feature = number([-50.0, 0.0, 2.0, 1e9], clip=[0, 3], log=True, scaling="min_max")
    assert (feature.low, feature.high, feature.log) == (0.0, 3.0, True)
    assert feature.center == 0
    assert feature.scale == pytest.approx(np.log(4))
    assert feature.impute == pytest.approx((0 + np.log(3)) / 2)


def test_outliers_are_clipped_at_quantiles_of_the_training_rows() -> None:
    values = [float(i) for i in range(1, 101)] + [1e9]
    feature = number(values, clip_quantiles=[0.02, 0.98])
    assert (feature.low, feature.high) == (3.0, 99.0)
    assert feature.center == pytest.approx(np.clip(values, 3, 99).mean())


@pytest.mark.parametrize("wrong", [[0.9, 0.1], [-0.1, 0.5], [0.0, 1.1]])
def test_quantiles_that_cannot_be_are_refused(wrong: list[float]) -> None:
    with pytest.raises(ConfigError, match="clip_quantiles as"):
        number([1.0, 2.0], clip_quantiles=wrong)
    with pytest.raises(ConfigError, match="no clip beside it"):
        number([1.0, 2.0], clip_quantiles=[0.1, 0.9], clip=[0, 1])


def test_additive_columns_are_named_with_all_they_became() -> None:
    moments = ["2024-01-01", "2024-01-02", ""]
    fitted = fit(
        {"x": [1.0, 2.0, np.nan], "y": [3.0, 1.0, 2.0], "when": moments},
        {
            "x": {"kind": "numeric", "buckets": 2, "additive": True},
            "y": {"kind": "numeric", "buckets": 2},
            "when": {"kind": "datetime", "parts": ["month"], "cyclic": False, "additive": True},
        },
    )
    assert fitted.additive == ("x", "when")
    assert fitted.additive_names == {"x", "x.missing", "x.bucket", "when.month"}


def test_impossible_numbers_are_missing_when_served_too() -> None:
    values = [1.0, 2.0, 3.0, 1048.0, -5.0]
    how = {"kind": "numeric", "range": [0, 200], "buckets": 2}
    fitted = fit({"x": values}, {"x": how})
    scaled, cut = fitted.features
    assert (scaled.center, scaled.indicator) == (2.0, True)
    assert [(feature.least, feature.most) for feature in (scaled, cut)] == [(0, 200)] * 2
    made = encode(pd.DataFrame({"x": values}), fitted)
    assert made.dense[:, 1].tolist() == [0, 0, 0, 1, 1]
    assert made.indices[:, 0].tolist() == [1, 2, 2, 0, 0]


@pytest.mark.parametrize(("how", "value"), [("median", 3.0), ("mean", 5.0), ("zero", 0.0)])
def test_imputation_ignores_missing_and_infinite_numbers(how: str, value: float) -> None:
    feature = number([2.0, 3.0, NAN, 10.0, float("inf")], impute=how)
    assert feature.impute == pytest.approx(value)
    assert feature.center == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("wanted", "missing", "made"),
    [("auto", True, True), ("auto", False, False), (True, False, True), (False, True, False)],
)
def test_the_indicator_comes_with_missing_values(wanted: Any, missing: bool, made: bool) -> None:
    values = [1.0, NAN if missing else 2.0]
    assert number(values, indicator=wanted).indicator is made
    truth = only({"x": values}, {"kind": "boolean", "indicator": wanted})
    assert truth.indicator is made


@pytest.mark.parametrize("value", [0.1, 0.0, -3e20, 1e-300])
@pytest.mark.parametrize("scaling", ["standard", "min_max"])
def test_a_constant_is_zero_and_its_neighbour_is_not_blown_up(value: float, scaling: str) -> None:
    feature = number([value] * 1000, scaling=scaling)
    assert (feature.center, feature.scale) == (value, 1.0)


def test_rounding_noise_is_no_spread() -> None:
    feature = number([0.1 + 0.2, 0.3] * 50)
    assert feature.scale == 1.0


def test_a_number_can_be_scaled_and_cut() -> None:
    fitted = fit({"x": [1.0, 2.0, 3.0, 4.0]}, {"x": {"kind": "numeric", "buckets": 2}})
    dense, cut = fitted.features
    assert fitted.dense_names == ("x",)
    assert (cut.name, cut.boundaries, cut.column) == ("x.bucket", (2.0,), "x")
    assert dense.boundaries == ()


def test_a_number_can_be_cut_only() -> None:
    fitted = fit({"x": [1.0, 2.0]}, {"x": {"kind": "numeric", "buckets": 2, "dense": False}})
    assert fitted.dense_names == ()
    assert [column.name for column in fitted.index_columns] == ["x.bucket"]


def test_buckets_cut_the_clipped_number() -> None:
    values = [-9.0, 0.0, 1.0, 2.0, 3.0, 99.0]
    how = {"kind": "numeric", "buckets": 4, "clip": [0, 3]}
    fitted = fit({"x": values}, {"x": how})
    made = encode(pd.DataFrame({"x": values}), fitted).indices[:, 0]
    clipped = encode(pd.DataFrame({"x": np.clip(values, 0, 3)}), fitted).indices[:, 0]
    assert made.tolist() == clipped.tolist()


def boundaries(numbers: np.ndarray, buckets: int) -> tuple[float, ...]:
    cells = Cells()
    cells.add(*occurring(numbers))
    return quantile_boundaries(cells, buckets)


def test_equal_quantiles_are_merged() -> None:
    assert boundaries(np.array([0.0] * 90 + [1.0] * 10), 4) == (1.0,)
    assert boundaries(np.array([1.0, 10.0, 10.0, 10.0]), 4) == (10.0,)
    assert boundaries(np.array([5.0, 5.0]), 3) == (5.0,)


@hypothesis.given(
    st.lists(st.floats(-1e9, 1e9, allow_subnormal=False), min_size=1, max_size=60),
    st.integers(2, 12),
)
def test_boundaries_increase_and_leave_no_bucket_empty(values: list[float], buckets: int) -> None:
    numbers = np.array(values)
    cuts = boundaries(numbers, buckets)
    assert all(a < b for a, b in itertools.pairwise(cuts))
    assert 1 <= len(cuts) < buckets or len(cuts) == 1
    if numbers.min() < numbers.max():
        counts = np.bincount(np.searchsorted(cuts, numbers, side="right"))
        assert counts.all()
        assert len(counts) == len(cuts) + 1


def test_many_different_numbers_fill_buckets_evenly() -> None:
    numbers = np.random.default_rng(0).permutation(1000).astype(float)
    cuts = boundaries(numbers, 10)
    assert np.bincount(np.searchsorted(cuts, numbers, side="right")).tolist() == pytest.approx(
        [100] * 10, abs=1
    )


def test_words_by_count_then_alphabet() -> None:
    words = ["b", "a", "ö", "z", "z", "", "", "", "a", "ö", "rare"]
    how = {"kind": "categorical", "min_count": 2}
    feature = only({"x": words}, how)
    assert feature.vocabulary == ("a", "z", "ö")
    assert feature.oov_buckets == 1
    assert only({"x": words}, {**how, "max_size": 2}).vocabulary == ("a", "z")


def test_words_rarer_than_a_share_of_the_rows_are_alike() -> None:
    words = ["a"] * 60 + ["b"] * 30 + ["c"] * 9 + ["d"] + [""] * 100
    feature = only({"x": words}, {"kind": "categorical", "min_count": 1, "min_fraction": 0.1})
    assert feature.vocabulary == ("a", "b")


def test_hashing_needs_no_vocabulary() -> None:
    feature = only({"x": ["a", "b"]}, {"kind": "categorical", "max_size": 0, "hash_buckets": 64})
    assert (feature.vocabulary, feature.oov_buckets) == ((), 64)


def test_a_column_of_rare_words_is_still_a_feature() -> None:
    feature = only({"x": ["a", "b"]}, {"kind": "categorical"})
    assert feature.vocabulary == ()


def test_dates_keep_their_parts_and_format() -> None:
    how = {"kind": "datetime", "parts": ["month"], "cyclic": False, "format": "%d.%m.%Y"}
    fitted = fit({"x": ["2013-01-01T00:00:00", ""]}, {"x": how})
    assert fitted.columns == (Column(name="x", dtype="string", format="%d.%m.%Y"),)
    (column,) = fitted.index_columns
    assert (column.name, column.cardinality, column.dimension) == ("x.month", 13, 11)


def test_a_truth_value_that_misses_is_a_number() -> None:
    fitted = fit(
        {"a": [True, False], "b": [1.0, NAN]}, {"a": {"kind": "boolean"}, "b": {"kind": "boolean"}}
    )
    assert [column.dtype for column in fitted.columns] == ["bool", "float64"]
    assert fitted.dense_names == ("a", "b", "b.missing")


def test_crosses_take_words_buckets_and_date_parts() -> None:
    fitted = fit(
        {"w": ["a", "b"] * 5, "n": [1.0, 2.0] * 5, "d": ["2013-01-01"] * 10},
        {
            "w": {"kind": "categorical"},
            "n": {"kind": "numeric", "buckets": 2},
            "d": {"kind": "datetime", "cyclic": False},
        },
        {"c": {"of": ["w", "n.bucket", "d.hour"], "buckets": 50}},
    )
    cross = fitted.index_columns[-1]
    assert (cross.name, cross.cardinality, cross.crossed) == ("c", 50, True)


def test_a_cross_of_nothing_known_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"data\.crosses\.c\.of' names 'orign'") as caught:
        fit(
            {"origin": ["a", "b"]},
            {"origin": {"kind": "categorical"}},
            {"c": {"of": ["origin", "orign"]}},
        )
    assert "origin" in caught.value.remedy


def test_two_features_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"2 features are called 'x\.bucket'"):
        fit(
            {"x": [1.0, 2.0], "x.bucket": ["a", "b"]},
            {"x": {"kind": "numeric", "buckets": 2}, "x.bucket": {"kind": "categorical"}},
        )


EMPTY = {
    "numeric": [NAN, float("inf")],
    "categorical": ["", ""],
    "boolean": [NAN, NAN],
    "datetime": ["", ""],
}


@pytest.mark.parametrize("kind", EMPTY)
def test_a_column_without_values_is_refused(kind: str) -> None:
    with pytest.raises(DataError, match="'x' has no value in any of 2 training rows"):
        fit({"x": EMPTY[kind]}, {"x": {"kind": kind}})


def test_text_that_is_no_date_asks_for_its_format() -> None:
    with pytest.raises(DataError, match=r"no date in any training row: .*31\.12\.2013") as caught:
        fit({"x": ["31.12.2013", "01.01.2014"]}, {"x": {"kind": "datetime"}})
    assert "data.columns.x.format" in caught.value.remedy


def test_numbers_that_overflow_are_refused() -> None:
    with pytest.raises(DataError, match="'x' holds a number as large as 1e"):
        number([1.0, -1e300])


def test_large_numbers_must_be_scaled() -> None:
    with pytest.raises(DataError, match=r"'x' holds 1\.7e\+09 and is not scaled"):
        number([1.0, 1.7e9], scaling="none")


def test_ids_are_no_features_and_alone_are_refused() -> None:
    fitted = fit(
        {"id": ["1", "2"], "x": [1.0, 2.0]}, {"id": {"kind": "id"}, "x": {"kind": "numeric"}}
    )
    assert [column.name for column in fitted.columns] == ["x"]
    assert fitted.kept == ("id",)
    with pytest.raises(DataError, match="no column is left"):
        fit({"id": ["1"]}, {"id": {"kind": "id"}})


def test_the_label_of_a_regression_is_standardised() -> None:
    fitted = fit(
        {"x": [1.0] * 4},
        {"x": {"kind": "numeric"}},
        labels=[-2.0, 0.0, 2.0, 4.0],
        task="regression",
    )
    assert (fitted.label.mean, fitted.label.scale) == (1.0, pytest.approx(5**0.5))
    assert fitted.class_counts == {}


def test_classes_are_counted() -> None:
    fitted = fit({"x": [1.0] * 3}, {"x": {"kind": "numeric"}}, labels=[1, 1, 1])
    assert fitted.class_counts == {"no": 0, "yes": 3}
    assert fitted.rows == {"train": 3, "test": 7}


def test_dimensions_grow_slowly() -> None:
    assert [embedding_dimension(n) for n in (2, 5, 16, 100, 1000, 10**6)] == [2, 5, 12, 19, 32, 32]


def test_a_chosen_dimension_stays() -> None:
    feature = only({"x": ["a", "b"]}, {"kind": "categorical", "dimension": 3})
    assert feature.dimension == 3


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(
    st.lists(
        st.tuples(
            st.floats(-1e100, 1e100, allow_subnormal=False) | st.just(NAN),
            st.text(max_size=3),
            st.dates().map(str) | st.just(""),
        ),
        min_size=1,
        max_size=20,
    ),
    st.booleans(),
)
def test_whatever_is_fitted_encodes_its_rows(rows: list[tuple[Any, ...]], log: bool) -> None:
    table = pd.DataFrame(rows, columns=["n", "w", "d"]).astype({"w": "str", "d": "str"})
    before = table.copy(deep=True)
    columns = {
        "n": {"kind": "numeric", "buckets": 3, "log": log},
        "w": {"kind": "categorical", "min_count": 1, "hash_buckets": 2},
        "d": {"kind": "datetime"},
    }
    hypothesis.assume(table["n"].notna().any() and all((table != "")[["w", "d"]].any()))
    fitted = fit(table.to_dict("list"), columns, {"c": {"of": ["n.bucket", "w"], "buckets": 5}})
    assert build(FeatureSet, json.loads(json.dumps(dump(fitted), allow_nan=False))) == fitted
    made = encode(table, fitted)
    assert np.isfinite(made.dense).all()
    sizes = np.array([column.cardinality for column in fitted.index_columns])
    assert ((made.indices >= 0) & (made.indices < sizes)).all()
    pd.testing.assert_frame_equal(table, before)


def test_rows_in_another_order_fit_alike() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"n": rng.normal(size=300), "w": rng.choice(list("abcdef"), 300)})
    columns = {"n": {"kind": "numeric", "buckets": 7}, "w": {"kind": "categorical"}}
    one = fit(table.to_dict("list"), columns)
    other = fit(table.sample(frac=1, random_state=1).to_dict("list"), columns)
    assert one.features[1:] == other.features[1:]
    assert one.features[0].center == pytest.approx(other.features[0].center, abs=1e-12)
