"""The pandas road, held against plain Python written the slow and obvious way."""

from __future__ import annotations

import datetime
import math

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest

from pipeline.core.dates import part_indices
from pipeline.core.encoding import encode
from pipeline.core.features import (
    DATE_PART_PERIODS,
    BagFeature,
    BooleanFeature,
    CategoricalFeature,
    Column,
    CrossFeature,
    DatetimeFeature,
    Feature,
    FeatureSet,
    Label,
    NumericFeature,
)
from pipeline.core.words import hashed
from tests.core.feature_examples import NO_DATES, dates, everything, rows, tables

NAN = float("nan")
INF = float("inf")


def encoded(values: list[object], *features: Feature) -> list[list[float]]:
    """Dense and index columns, turned, of one raw column `x`."""
    dtype = "float64" if isinstance(values[0], float) else "str"
    columns = (Column(name="x", dtype="float64" if dtype == "float64" else "string"),)
    label = Label(column="y", task="regression")
    fitted = FeatureSet(columns=columns, label=label, features=features, rows={})
    made = encode(pd.DataFrame({"x": pd.Series(values, dtype=dtype)}), fitted)
    return [*made.dense.T.tolist(), *made.indices.T.tolist()]


def test_a_number_is_clipped_logged_imputed_and_scaled_in_this_order() -> None:
    feature = NumericFeature(
        name="x", column="x", low=-1.0, high=3.0, log=True, center=0.5, scale=2.0, impute=4.5
    )
    (scaled,) = encoded([0.0, 3.0, 100.0, -100.0, NAN], feature)
    top = (math.log(4) - 0.5) / 2
    assert scaled == pytest.approx([-0.25, top, top, (-math.log(2) - 0.5) / 2, 2.0])


def test_infinities_are_missing() -> None:
    feature = NumericFeature(name="x", column="x", impute=7.0, indicator=True)
    buckets = NumericFeature(name="b", column="x", boundaries=(0.0,))
    assert encoded([INF, -INF, NAN, 1.0], feature, buckets) == [
        [7, 7, 7, 1],
        [1, 1, 1, 0],
        [0, 0, 0, 2],
    ]


def test_impossible_numbers_are_missing() -> None:
    feature = NumericFeature(name="x", column="x", least=0.0, most=9.0, impute=4.0, indicator=True)
    buckets = NumericFeature(name="b", column="x", most=9.0, boundaries=(0.0,))
    assert encoded([0.0, 9.0, -0.1, 9.1, NAN], feature, buckets) == [
        [0, 9, 4, 4, 4],
        [0, 0, 1, 1, 1],
        [2, 2, 1, 0, 0],
    ]


def test_a_huge_number_stays_finite() -> None:
    feature = NumericFeature(name="x", column="x", center=-1e308, scale=1e-3)
    assert encoded([1.7e308, -1.7e308, 0.0], feature) == [[1e6, -1e6, 1e6]]


def test_a_bucket_counts_the_boundaries_reached() -> None:
    feature = NumericFeature(name="x", column="x", boundaries=(0.0, 1.0, 5.0))
    assert encoded([-1.0, 0.0, 0.5, 1.0, 5.0, 1e300, NAN], feature) == [[1, 2, 2, 3, 4, 4, 0]]


def test_words_are_known_missing_or_unknown() -> None:
    feature = CategoricalFeature(name="x", column="x", vocabulary=("b", "a"))
    assert encoded(["a", "b", "", "c", "A"], feature) == [[2, 1, 0, 3, 3]]


def test_unknown_words_share_buckets_by_fingerprint() -> None:
    feature = CategoricalFeature(name="x", column="x", vocabulary=("b",), oov_buckets=1000)
    (indices,) = encoded(["grün", "b", "", "ab\0c"], feature)
    assert indices == [2 + hashed("grün".encode(), 1000), 1, 0, 2 + hashed(b"ab\0c", 1000)]


def test_words_that_differ_behind_a_nul_differ() -> None:
    feature = CategoricalFeature(name="x", column="x", vocabulary=("a\0b", "a\0c", "a"))
    assert encoded(["a\0c", "a", "a\0b", "a\0"], feature) == [[2, 3, 1, 4]]


def test_truth_values() -> None:
    feature = BooleanFeature(name="x", column="x", indicator=True)
    assert encoded([1.0, 0.0, NAN, -0.0, 2.0], feature) == [[1, 0, 0, 0, 1], [0, 0, 1, 0, 0]]


def test_cyclic_parts_are_points_on_a_circle() -> None:
    feature = DatetimeFeature(name="x", column="x", parts=("hour",))
    sin, cos = encoded(["2024-02-29T06:00", "2024-02-29", "no date"], feature)
    assert sin == pytest.approx([1, 0, 0])
    assert cos == pytest.approx([0, 1, 0], abs=1e-7)


def test_crosses_count_combinations_where_they_fit() -> None:
    word = CategoricalFeature(name="w", column="x", vocabulary=("a", "b"))
    cross = CrossFeature(name="c", of=("w", "w"), buckets=100)
    assert encoded(["a", "b", "", "z"], word, cross)[1] == [4 + 1, 8 + 2, 0, 12 + 3]


def test_crosses_that_do_not_fit_are_hashed_as_documented() -> None:
    word = CategoricalFeature(name="w", column="x", vocabulary=("a", "b"), oov_buckets=97)
    cross = CrossFeature(name="c", of=("w", "w", "w"), buckets=10)
    indices, crossed = encoded(["a", "b", "", "zebra"], word, cross)
    for index, bucket in zip(indices, crossed, strict=True):
        code = int(index * 100 * 100 + index * 100 + index)
        assert bucket == (code * 0x9E3779B97F4A7C15 % 2**64 >> 33) % 10


@hypothesis.given(st.lists(dates(), min_size=1))
def test_dates_are_those_of_python(words: list[str]) -> None:
    parts = tuple(DATE_PART_PERIODS)
    for word, indices in zip(words, part_indices(words, parts), strict=True):
        moment = datetime.datetime.fromisoformat(word[:16])
        year_day = moment.timetuple().tm_yday
        assert dict(zip(parts, indices.tolist(), strict=True)) == {
            "month": moment.month,
            "day": moment.day,
            "day_of_week": 1 + moment.weekday(),
            "day_of_year": year_day,
            "hour": 1 + moment.hour,
            "minute": 1 + moment.minute,
        }


@pytest.mark.parametrize("word", NO_DATES)
def test_what_is_no_date_is_missing(word: str) -> None:
    assert part_indices([word], tuple(DATE_PART_PERIODS)).tolist() == [[0] * 6]


@pytest.mark.parametrize("year", [0, 4, 1900, 2000, 2023, 2024])
def test_leap_years(year: int) -> None:
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    assert part_indices([f"{year:04}-02-29"], ["day"]).item() == (29 if leap else 0)
    assert part_indices([f"{year:04}-12-31"], ["day_of_year"]).item() == 365 + leap


def test_no_rows_give_empty_columns_of_the_right_width() -> None:
    made = encode(rows(0), everything)
    assert made.dense.shape == (0, len(everything.dense_names))
    assert made.indices.shape == (0, len(everything.index_columns))


def test_dtypes_are_those_that_keras_takes() -> None:
    made = encode(rows(5), everything)
    assert (made.dense.dtype, made.indices.dtype) == (np.float32, np.int32)
    assert made.dense.flags.c_contiguous
    assert made.indices.flags.c_contiguous


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(tables())
def test_every_row_stays_in_range(frame: pd.DataFrame) -> None:
    before = frame.copy(deep=True)
    made = encode(frame, everything)
    assert np.isfinite(made.dense).all()
    assert (np.abs(made.dense) <= 1e6).all()
    sizes = np.array([column.cardinality for column in everything.index_columns])
    assert ((made.indices >= 0) & (made.indices < sizes)).all()
    pd.testing.assert_frame_equal(frame, before)


def test_the_words_of_a_text_are_counted_whatever_their_case() -> None:
    feature = BagFeature(name="x", column="x", vocabulary=("red", "grün"), weighting="count")
    texts = ["Red, RED;red-ish!", "grün GRÜN", "", "blue"]
    assert encoded(texts, feature) == [[3, 0, 0, 0], [0, 1, 0, 0]]


def test_the_entries_of_a_list_keep_their_case_and_their_blanks_inside() -> None:
    feature = BagFeature(
        name="x", column="x", separator=";", vocabulary=("a b", "C"), weighting="binary"
    )
    assert encoded(["a b; C", "C;C;;c", " a b ", ";"], feature) == [[1, 0, 1, 0], [1, 1, 0, 0]]


def test_unknown_words_share_buckets() -> None:
    feature = BagFeature(
        name="x", column="x", vocabulary=("red",), hash_buckets=3, weighting="count"
    )
    bucket = hashed(b"blue", 3)
    columns = encoded(["red blue blue"], feature)
    assert columns[0] == [1]
    assert [column[0] for column in columns[1:]] == [2 if i == bucket else 0 for i in range(3)]


def test_tf_idf_weighs_rare_words_more_and_makes_rows_equally_long() -> None:
    feature = BagFeature(
        name="x", column="x", vocabulary=("red", "blue"), weighting="tf_idf", idf=(1.0, 2.0)
    )
    red, blue = encoded(["red red blue", "green", "blue"], feature)
    assert red == pytest.approx([2 / math.sqrt(8), 0, 0])
    assert blue == pytest.approx([2 / math.sqrt(8), 0, 1])
