"""Whatever a table was read from, its served form is one and the same."""

from __future__ import annotations

import datetime
import decimal
import io

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipeline.core.errors import DataError
from pipeline.core.features import Column
from pipeline.core.table import as_served, convert
from tests.core.feature_examples import COLUMNS, tables

NAN = float("nan")
UTC = datetime.UTC


def served(values: object, dtype: str, **options: object) -> list[object]:
    column = Column(name="x", dtype=dtype, **options)
    frame = as_served(pd.DataFrame({"x": values}), [column])
    wanted = {"float64": "float64", "string": "str", "bool": "bool"}[dtype]
    assert frame["x"].dtype == wanted
    return frame["x"].astype(object).where(frame["x"].notna(), "NaN").tolist()


NUMBERS = {
    "int": pd.Series([1, 2, 3]),
    "uint8": pd.Series([1, 2, 3], dtype="uint8"),
    "float32": pd.Series([1, 2, 3], dtype="float32"),
    "nullable": pd.Series([1, 2, 3], dtype="Int64"),
    "arrow": pd.Series([1, 2, 3], dtype=pd.ArrowDtype(pa.int16())),
    "arrow decimal": pd.Series([1, 2, 3], dtype=pd.ArrowDtype(pa.decimal128(5, 1))),
    "text": pd.Series([" 1", "2.0", "3e0"]),
    "object": pd.Series([1, "2", decimal.Decimal("3.0")], dtype=object),
    "category": pd.Series(["1", "2", "3"], dtype="category"),
    "category of ints": pd.Series([1, 2, 3], dtype="category"),
}


@pytest.mark.parametrize("values", NUMBERS.values(), ids=NUMBERS)
def test_numbers_in_any_dtype(values: pd.Series) -> None:
    assert served(values, "float64") == [1.0, 2.0, 3.0]


MISSING_NUMBERS = {
    "float": pd.Series([1.5, NAN]),
    "infinite": pd.Series([1.5, -np.inf]),
    "nullable": pd.Series([1.5, None], dtype="Float64"),
    "arrow": pd.Series([1.5, None], dtype=pd.ArrowDtype(pa.float32())),
    "object": pd.Series([1.5, None], dtype=object),
    "blank": pd.Series(["1.5", " "]),
    "marker": pd.Series(["1.5", "N/A"]),
    "category": pd.Series([1.5, None], dtype="category"),
    "infinite text": pd.Series(["1.5", "inf"]),
}


@pytest.mark.parametrize("values", MISSING_NUMBERS.values(), ids=MISSING_NUMBERS)
def test_missing_numbers_in_any_dtype(values: pd.Series) -> None:
    assert served(values, "float64") == [1.5, "NaN"]


CODES = {
    "int": pd.Series([3, 3, 12]),
    "nullable": pd.Series([3, 3, 12], dtype="Int8"),
    "arrow": pd.Series([3, 3, 12], dtype=pd.ArrowDtype(pa.uint32())),
    "float": pd.Series([3.0, 3.0, 12.0]),
    "text": pd.Series(["3", "3", "12"]),
    "category": pd.Series([3, 3, 12], dtype="category"),
    "object": pd.Series([3, 3.0, b"12"], dtype=object),
}


@pytest.mark.parametrize("values", CODES.values(), ids=CODES)
def test_codes_in_any_dtype(values: pd.Series) -> None:
    assert served(values, "string") == ["3", "3", "12"]


MISSING_WORDS = {
    "text": pd.Series(["a", None]),
    "object": pd.Series(["a", NAN], dtype=object),
    "nullable": pd.Series(["a", pd.NA], dtype="string"),
    "arrow": pd.Series(["a", None], dtype=pd.ArrowDtype(pa.string())),
    "category": pd.Series(["a", None], dtype="category"),
    "NaT": pd.Series(["a", pd.NaT], dtype=object),
}


@pytest.mark.parametrize("values", MISSING_WORDS.values(), ids=MISSING_WORDS)
def test_missing_words_in_any_dtype(values: pd.Series) -> None:
    assert served(values, "string") == ["a", ""]


def test_codes_with_missing_values_are_no_decimals() -> None:
    assert served(pd.Series([3.0, NAN, 2.5]), "string") == ["3", "", "2.5"]
    assert served(pd.Series([10**17 + 1, None], dtype="Int64"), "string") == [str(10**17 + 1), ""]


def test_words_stay_as_they_are() -> None:
    words = ["NA", "", " a ", "Ünï", "a\0b", "007", "True"]
    assert served(pd.Series(words), "string") == words


def test_truth_values_in_words_read_as_csv_says_them() -> None:
    assert served(pd.Series([True, False]), "string") == ["True", "False"]


def test_text_without_a_utf8_form_is_repaired() -> None:
    assert served(pd.Series(["a\ud800"], dtype=object), "string") == ["a?"]


DATES = {
    "naive": (pd.Series(pd.to_datetime(["2013-01-02 03:04:05.9", None])), "2013-01-02T03:04:05"),
    "ns": (pd.Series(pd.to_datetime(["1950-01-02", None])).astype("datetime64[ns]"), None),
    "zone": (
        pd.Series(pd.to_datetime(["2013-01-02 03:04", None])).dt.tz_localize("America/New_York"),
        "2013-01-02T08:04:00Z",
    ),
    "arrow": (
        pd.Series([datetime.datetime(2013, 1, 2, tzinfo=UTC), None]).astype(
            pd.ArrowDtype(pa.timestamp("ms", tz="UTC"))
        ),
        "2013-01-02T00:00:00Z",
    ),
    "arrow date": (
        pd.Series([datetime.date(2013, 1, 2), None], dtype=pd.ArrowDtype(pa.date32())),
        "2013-01-02T00:00:00",
    ),
    "date": (pd.Series([datetime.date(2013, 1, 2), None], dtype=object), "2013-01-02"),
    "datetime": (
        pd.Series([datetime.datetime(13, 1, 2, 3, 4, 5), None], dtype=object),
        "0013-01-02T03:04:05",
    ),
    "aware datetime": (
        pd.Series([datetime.datetime(2013, 1, 2, 3, tzinfo=UTC), None], dtype=object),
        "2013-01-02T03:00:00Z",
    ),
    "category": (
        pd.Series(pd.to_datetime(["2013-01-02", None])).astype("category"),
        "2013-01-02T00:00:00",
    ),
}


@pytest.mark.parametrize(("values", "text"), DATES.values(), ids=DATES)
def test_dates_in_any_dtype(values: pd.Series, text: str | None) -> None:
    assert served(values, "string") == [text or "1950-01-02T00:00:00", ""]


def test_odd_dates_by_their_format() -> None:
    words = pd.Series(["31.12.2013", "", "2013-12-31T05:00Z", None])
    iso = ["2013-12-31T00:00:00", "", "2013-12-31T05:00Z", ""]
    assert served(words, "string", format="%d.%m.%Y") == iso
    assert served(pd.Series([20131231, 20130101]), "string", format="%Y%m%d") == [
        "2013-12-31T00:00:00",
        "2013-01-01T00:00:00",
    ]
    zones = pd.Series(["2013-12-31 +0200"])
    assert served(zones, "string", format="%Y-%m-%d %z") == ["2013-12-30T22:00:00Z"]


@pytest.mark.parametrize(("year", "hours"), [(1, 5), (9999, -5)])
def test_moments_that_no_year_of_utc_holds_are_named(year: int, hours: int) -> None:
    zone = datetime.timezone(datetime.timedelta(hours=hours))
    month, day, hour = (1, 1, 0) if year == 1 else (12, 31, 23)
    moment = datetime.datetime(year, month, day, hour, tzinfo=zone)
    values = pd.Series(["2024-02-29", moment, None], dtype=object)
    with pytest.raises(DataError, match=r"holds 1 of 3 values .*datetime\(") as error:
        served(values, "string")
    assert "of the years 1 to 9999 in UTC" in str(error.value)
    _, wrong = convert(values, Column(name="x", dtype="string"))
    assert wrong.tolist() == [False, True, False]
    near = moment.replace(day=2 if year == 1 else 30)
    assert served(pd.Series([near], dtype=object), "string")[0].startswith(f"{year:04}-")


def test_text_of_another_date_format_is_refused() -> None:
    with pytest.raises(DataError, match=r"1 of 2 values .* '12/31/2013'"):
        served(pd.Series(["31.12.2013", "12/31/2013"]), "string", format="%d.%m.%Y")


TRUTHS = {
    "bool": pd.Series([True, False]),
    "nullable": pd.Series([True, False], dtype="boolean"),
    "arrow": pd.Series([True, False], dtype=pd.ArrowDtype(pa.bool_())),
    "int": pd.Series([1, 0]),
    "float": pd.Series([1.0, 0.0]),
    "yes": pd.Series(["Yes", " no "]),
    "t": pd.Series(["t", "F"]),
    "1": pd.Series(["1", "0"]),
    "object": pd.Series([True, "0.0"], dtype=object),
    "category": pd.Series(["TRUE", "false"], dtype="category"),
}


@pytest.mark.parametrize("values", TRUTHS.values(), ids=TRUTHS)
@pytest.mark.parametrize("dtype", ["bool", "float64"])
def test_truth_values_in_any_dtype(values: pd.Series, dtype: str) -> None:
    words = {"true_values": ("true", "yes", "t"), "false_values": ("false", "no", "f", "0.0")}
    assert served(values, dtype, **words) == [1, 0]


def test_usual_words_are_truth_values_but_no_numbers() -> None:
    words = pd.Series(["Yes", " no ", "T", "f", "TRUE", "0.0"])
    assert served(words, "bool") == [1, 0, 1, 0, 1, 0]
    with pytest.raises(DataError, match="'Yes', ' no '"):
        served(words, "float64")


def test_truth_values_in_words_of_their_own() -> None:
    options = {"true_values": ("JA",), "false_values": ("nein",)}
    assert served(pd.Series(["Ja", "nein"]), "bool", **options) == [True, False]
    with pytest.raises(DataError, match="'yes'"):
        served(pd.Series(["Ja", "yes"]), "bool", **options)


WRONG = {
    "word": (["1", "two", "three", "two"], "float64", "3 of 4 values .* numbers: 'two', 'three'"),
    "date": (pd.to_datetime(["2013-01-01"]), "float64", "1 of 1 .* numbers"),
    "complex": ([1j], "float64", "numbers"),
    "list": ([[1], "2"], "float64", r"1 of 2 .* numbers: \[1\]"),
    "list of words": ([["a"], "b"], "string", r"1 of 2 .* words.*: \['a'\]"),
    "missing truth": ([True, None, None], "bool", "2 of 3 .* truth values, none missing: None"),
    "other truth": (["yes", "perhaps"], "bool", "1 of 2 .* truth.*: 'perhaps'"),
    "number for truth": ([0, 1, 2], "bool", "1 of 3 .* truth.*: 2"),
}


@pytest.mark.parametrize(("values", "dtype", "message"), WRONG.values(), ids=WRONG)
def test_another_kind_is_refused_with_count_and_examples(
    values: object, dtype: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        served(pd.Series(values), dtype)


def test_lists_are_joined_by_the_separator_of_their_column() -> None:
    tags = Column(name="x", dtype="string", separator=";")
    lists = [["a", None, " b"], np.array([2.0, 0.5]), [], None, "a;b"]
    served = as_served(pd.DataFrame({"x": pd.Series(lists, dtype=object)}), [tags])
    assert served["x"].tolist() == ["a; b", "2;0.5", "", "", "a;b"]
    for wrong in (["a;b"], [["a"]]):
        with pytest.raises(DataError, match="1 of 1 values that are no words"):
            as_served(pd.DataFrame({"x": [wrong]}), [tags])


def test_a_missing_column_is_named_with_the_nearest() -> None:
    frame = pd.DataFrame({"carrier": ["AA"], "distance": [1]})
    with pytest.raises(DataError, match="no column 'carier'") as caught:
        as_served(frame, [Column(name="carier", dtype="string")])
    assert "carrier" in caught.value.remedy


def test_a_column_twice_is_refused() -> None:
    frame = pd.DataFrame([[1, 2]], columns=["x", "x"])
    with pytest.raises(DataError, match="2 columns called 'x'"):
        as_served(frame, [Column(name="x", dtype="float64")])


def test_convert_marks_what_does_not_fit_and_goes_on() -> None:
    column = Column(name="x", dtype="bool")
    values, wrong = convert(pd.Series(["yes", "maybe", None, "2"]), column)
    assert wrong.tolist() == [False, True, False, True]
    np.testing.assert_array_equal(values, [1, NAN, NAN, NAN])


def test_index_order_and_columns_are_those_asked_for() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": [0, 0]}, index=[7, 7])
    columns = [Column(name="b", dtype="string"), Column(name="a", dtype="float64")]
    made = as_served(frame, columns)
    assert made.columns.tolist() == ["b", "a"]
    assert made.index.tolist() == [7, 7]


def test_no_rows_keep_their_dtypes() -> None:
    empty = pd.DataFrame({column.name: [] for column in COLUMNS})
    dtypes = {column.name: as_served(empty, COLUMNS)[column.name].dtype for column in COLUMNS}
    assert [str(dtype) for dtype in dtypes.values()] == [
        "float64",
        "float64",
        "str",
        "str",
        "str",
        "bool",
        "float64",
    ]


@hypothesis.settings(deadline=None, max_examples=30)
@hypothesis.given(tables())
def test_a_served_table_stays_as_it_is(frame: pd.DataFrame) -> None:
    before = frame.copy(deep=True)
    once = as_served(frame, COLUMNS)
    pd.testing.assert_frame_equal(as_served(once, COLUMNS), once)
    pd.testing.assert_frame_equal(frame, before)


@hypothesis.settings(deadline=None, max_examples=30)
@hypothesis.given(
    st.lists(
        st.tuples(
            st.integers(-(10**15), 10**15) | st.none(),
            st.floats(allow_nan=False, allow_infinity=False) | st.none(),
            st.booleans(),
        ),
        min_size=1,
    )
)
def test_csv_and_parquet_say_the_same(values: list[tuple[int | None, float | None, bool]]) -> None:
    frame = pd.DataFrame(values, columns=["code", "number", "flag"]).astype(
        {"code": "Int64", "number": "float64", "flag": "bool"}
    )
    columns = [
        Column(name="code", dtype="string"),
        Column(name="number", dtype="float64"),
        Column(name="flag", dtype="bool"),
    ]
    csv = pd.read_csv(io.StringIO(frame.to_csv(index=False)))
    parquet = io.BytesIO()
    frame.to_parquet(parquet)
    direct = as_served(frame, columns)
    pd.testing.assert_frame_equal(as_served(csv, columns), direct)
    pd.testing.assert_frame_equal(as_served(pd.read_parquet(parquet), columns), direct)
