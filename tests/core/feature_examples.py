"""Features and rows for tests: one set with every kind, and hypothesis strategies for any set."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pandas as pd

from pipeline.core.features import (
    DATE_PART_PERIODS,
    BagFeature,
    BooleanFeature,
    CategoricalFeature,
    Column,
    CrossFeature,
    DatetimeFeature,
    FeatureSet,
    GeoCellFeature,
    GeoDistance,
    GeoFeature,
    HolidayFeature,
    Label,
    NumericFeature,
    TargetFeature,
    index_columns,
)
from pipeline.core.table import as_served

COLUMNS = (
    Column(name="size", dtype="float64"),
    Column(name="price in €", dtype="float64"),
    Column(name="word", dtype="string"),
    Column(name="a/b", dtype="string"),
    Column(name="when", dtype="string"),
    Column(name="flag", dtype="bool"),
    Column(name="maybe", dtype="float64"),
)
WORDS = ("red", "grün", "", "blue\0sky", "blue\0sea", "1", "赤", " red", "Red", "x" * 300)
TEXTS = ("Red, red; GRÜN!  1", "red;blue ; a b;;red", "\t", ";", "a\nb\x0bc", "İ ß ſ K", "1\u00a02")
NO_DATES = (
    "",
    "2013",
    "2013-02-29",
    "1900-02-29",
    "2013-13-01",
    "2013-00-10",
    "2013-01-00",
    "2013-1-01",
    "2013/01/01",
    "2013-01-01T",
    "2013-01-01 24:00",
    "2013-01-01T12:60",
    "2013-01-01T12",
    "2013-01-01x12:00",
    "2013-01-01\0",
    "2013-01-01Z",
    "-2013-01-01",
    " 2013-01-01",
    "2013-01-0١",
    "9999-99-99T99:99",
    "nan",
    "01.02.2013",
    "\0" * 20,
    "é" * 20,
)

everything = FeatureSet(
    columns=COLUMNS,
    label=Label(column="y", task="multiclass", classes=("a", "b", "c")),
    features=(
        CategoricalFeature(name="word", column="word", vocabulary=("red", "grün", "blue\0sky")),
        NumericFeature(name="size", column="size", log=True, center=0.5, scale=2.0, impute=0.25),
        NumericFeature(name="size.bucket", column="size", boundaries=(-1.0, 0.0, 0.1, 1e300)),
        DatetimeFeature(name="when", column="when", parts=("hour", "day_of_year")),
        NumericFeature(
            name="price",
            column="price in €",
            least=-8.0,
            most=9.0,
            low=-5.0,
            high=7.0,
            center=1 / 3,
            indicator=True,
        ),
        BooleanFeature(name="flag", column="flag"),
        CategoricalFeature(
            name="a/b", column="a/b", vocabulary=("1", "赤"), oov_buckets=7, encoding="one_hot"
        ),
        CategoricalFeature(name="hashed", column="a/b", vocabulary=(), oov_buckets=50),
        DatetimeFeature(
            name="parts", column="when", parts=tuple(DATE_PART_PERIODS), cyclic=False, dimension=2
        ),
        BooleanFeature(name="maybe", column="maybe", indicator=True),
        BagFeature(
            name="text",
            column="word",
            vocabulary=("red", "grün", "sky"),
            hash_buckets=2,
            weighting="tf_idf",
            idf=(1.0, 1.5, 2.25, 1.75, 3.0),
        ),
        BagFeature(
            name="list", column="a/b", separator=";", vocabulary=("red", "a b"), weighting="binary"
        ),
        HolidayFeature(name="closed", column="when", dates=("12-25", "1963-07-04", "02-29")),
        GeoFeature(
            name="place",
            latitude="size",
            longitude="price in €",
            centers=(0.25, -0.5, 0.125),
            scales=(0.5, 0.25, 0.001),
            distances=(
                GeoDistance(name="null", latitude=0, longitude=0, center=300.0, scale=200.0),
                GeoDistance(name="pole", latitude=-90, longitude=12.5),
            ),
            indicator=True,
        ),
        GeoCellFeature(
            name="cell",
            latitude="size",
            longitude="price in €",
            degrees=0.5,
            cells=tuple(range(129000, 133000, 3)),
        ),
        TargetFeature(
            name="mean",
            column="word",
            outputs=("a", "b"),
            vocabulary=("red", "grün", ""),
            values=((0.1, -0.2), (1 / 3, 2.5), (-7.0, 1e-3)),
            unknown=(0.7, -1 / 7),
            smoothing=5.0,
            folds=4,
            prior=(0.4, 0.3),
            centers=(0.0, 0.0),
            scales=(1.0, 1.0),
        ),
        CrossFeature(name="small", of=("word", "a/b"), buckets=1000),
        CrossFeature(name="large", of=("word", "hashed", "parts.day_of_year"), buckets=97),
        CrossFeature(name="nested", of=("small", "large", "size.bucket"), buckets=31),
    ),
    rows={"train": 100},
    class_counts={"a": 50, "b": 30, "c": 20},
)
"""Every kind of feature, in mixed order."""


def numbers() -> st.SearchStrategy[float]:
    # TensorFlow's threads take subnormal numbers for zero.
    return st.floats(allow_subnormal=False) | st.sampled_from(
        [0.0, -0.0, 1.0, -1.0, 0.1, 1e300, 1.7e308, float("nan")]
    )


def words() -> st.SearchStrategy[str]:
    return st.sampled_from(WORDS + TEXTS) | st.text(max_size=8)


@st.composite
def dates(draw: st.DrawFn) -> str:
    """ISO 8601 of any precision, from the year 1 to 9999."""
    text = draw(st.datetimes()).isoformat(sep=draw(st.sampled_from("T ")), timespec="milliseconds")
    text = text[: draw(st.sampled_from([10, 16, 19, 23]))]
    return text + (draw(st.sampled_from(["", "Z", "+02:00"])) if len(text) > 10 else "")


def date_words() -> st.SearchStrategy[str]:
    return dates() | st.sampled_from(NO_DATES) | words()


@st.composite
def tables(draw: st.DrawFn, max_rows: int = 5) -> pd.DataFrame:
    """Rows in served dtypes, with whatever a client may send."""
    rows = draw(st.integers(0, max_rows))

    def column(values: st.SearchStrategy[object]) -> list[object]:
        return draw(st.lists(values, min_size=rows, max_size=rows))

    return pd.DataFrame(
        {
            "size": pd.Series(column(numbers()), dtype="float64"),
            "price in €": pd.Series(column(numbers()), dtype="float64"),
            "word": pd.Series(column(words()), dtype="str"),
            "a/b": pd.Series(column(words()), dtype="str"),
            "when": pd.Series(column(date_words()), dtype="str"),
            "flag": pd.Series(column(st.booleans()), dtype="bool"),
            "maybe": pd.Series(column(st.sampled_from([0.0, 1.0, -0.0, 2.0, float("nan")]))),
        }
    ).astype({"maybe": "float64"})


def _bound(draw: st.DrawFn) -> float | None:
    return draw(st.none() | st.floats(-100, 100, allow_subnormal=False))


@st.composite
def numeric(draw: st.DrawFn, name: str) -> NumericFeature:
    column = draw(st.sampled_from(["size", "price in €", "maybe"]))
    if draw(st.booleans()):
        cuts = draw(
            st.sets(
                st.floats(allow_subnormal=False, allow_nan=False, allow_infinity=False), min_size=1
            )
        )
        boundaries = tuple(sorted(cuts))
        least = _bound(draw)
        return NumericFeature(name=name, column=column, boundaries=boundaries, least=least)
    low, high = _bound(draw), _bound(draw)
    if low is not None and high is not None:
        low, high = min(low, high), max(low, high)
    return NumericFeature(
        name=name,
        column=column,
        least=_bound(draw),
        most=_bound(draw),
        low=low,
        high=high,
        log=draw(st.booleans()),
        center=draw(st.floats(-1e3, 1e3, allow_subnormal=False)),
        scale=draw(st.floats(1e-3, 1e3)),
        impute=draw(st.floats(-1e3, 1e3, allow_subnormal=False)),
        indicator=draw(st.booleans()),
    )


@st.composite
def categorical(draw: st.DrawFn, name: str) -> CategoricalFeature:
    vocabulary = draw(st.lists(words().filter(bool), unique=True, max_size=6))
    return CategoricalFeature(
        name=name,
        column=draw(st.sampled_from(["word", "a/b", "when"])),
        vocabulary=tuple(vocabulary),
        oov_buckets=draw(st.integers(1, 1000)),
    )


@st.composite
def datetime_feature(draw: st.DrawFn, name: str) -> DatetimeFeature:
    parts = draw(st.lists(st.sampled_from(list(DATE_PART_PERIODS)), unique=True, min_size=1))
    column = draw(st.sampled_from(["when", "word"]))
    return DatetimeFeature(name=name, column=column, parts=tuple(parts), cyclic=draw(st.booleans()))


@st.composite
def boolean(draw: st.DrawFn, name: str) -> BooleanFeature:
    column = draw(st.sampled_from(["flag", "maybe"]))
    return BooleanFeature(name=name, column=column, indicator=draw(st.booleans()))


@st.composite
def bag(draw: st.DrawFn, name: str) -> BagFeature:
    vocabulary = draw(st.lists(words().filter(bool), unique=True, min_size=1, max_size=6))
    buckets = draw(st.integers(0, 5))
    width = len(vocabulary) + buckets
    weighting = draw(st.sampled_from(["binary", "count", "tf_idf"]))
    idf = st.lists(st.floats(0.5, 10), min_size=width, max_size=width)
    return BagFeature(
        name=name,
        column=draw(st.sampled_from(["word", "a/b", "when"])),
        separator=draw(st.none() | st.sampled_from(";,|\\")),
        vocabulary=tuple(vocabulary),
        hash_buckets=buckets,
        weighting=weighting,
        idf=tuple(draw(idf)) if weighting == "tf_idf" else (),
    )


@st.composite
def holiday(draw: st.DrawFn, name: str) -> HolidayFeature:
    days = st.dates().map(str)
    listed = draw(st.lists(days | days.map(lambda day: day[5:]), min_size=1, unique=True))
    column = draw(st.sampled_from(["when", "word"]))
    return HolidayFeature(name=name, column=column, dates=tuple(listed))


@st.composite
def place(draw: st.DrawFn, name: str) -> GeoFeature:
    degrees = st.floats(-90, 90, allow_subnormal=False)
    points = draw(st.lists(st.tuples(degrees, degrees), max_size=3))
    return GeoFeature(
        name=name,
        latitude="size",
        longitude=draw(st.sampled_from(["price in €", "maybe"])),
        centers=draw(st.tuples(*[st.floats(-1, 1)] * 3)),
        scales=draw(st.tuples(*[st.floats(1e-3, 1)] * 3)),
        distances=tuple(
            GeoDistance(name=str(i), latitude=p, longitude=q, scale=100.0)
            for i, (p, q) in enumerate(points)
        ),
        indicator=draw(st.booleans()),
    )


@st.composite
def cell(draw: st.DrawFn, name: str) -> GeoCellFeature:
    degrees = draw(st.sampled_from([0.1, 1.0, 7.5, 90.0]))
    cells = draw(st.sets(st.integers(0, 4), min_size=1))
    middle = GeoCellFeature(name="", latitude="", longitude="", degrees=degrees, cells=(0,))
    origin = int(90 // degrees) * middle.columns + int(180 // degrees)
    return GeoCellFeature(
        name=name,
        latitude="maybe",
        longitude=draw(st.sampled_from(["price in €", "size"])),
        degrees=degrees,
        cells=tuple(sorted(origin + one for one in cells)),
    )


@st.composite
def target(draw: st.DrawFn, name: str) -> TargetFeature:
    vocabulary = draw(st.lists(words(), unique=True, min_size=1, max_size=6))
    width = draw(st.integers(1, 3))
    numbers = st.floats(-1e3, 1e3, allow_subnormal=False)
    means = st.lists(numbers, min_size=width, max_size=width).map(tuple)
    return TargetFeature(
        name=name,
        column=draw(st.sampled_from(["word", "a/b", "when"])),
        outputs=tuple("abc"[:width]) if width > 1 else (),
        vocabulary=tuple(vocabulary),
        values=tuple(draw(means) for _ in vocabulary),
        unknown=draw(means),
        smoothing=1.0,
        folds=2,
        prior=(0.0,) * width,
        centers=(0.0,) * width,
        scales=(1.0,) * width,
    )


@st.composite
def feature_sets(draw: st.DrawFn) -> FeatureSet:
    kinds = (numeric, categorical, datetime_feature, boolean, bag, holiday, place, cell, target)
    features: list[object] = [
        draw(draw(st.sampled_from(kinds))(f"f{i}")) for i in range(draw(st.integers(0, 6)))
    ]
    for i in range(draw(st.integers(0, 2))):
        names = [column.name for column in index_columns(features)]
        if len(names) >= 2:
            of = draw(st.lists(st.sampled_from(names), min_size=2, max_size=4))
            buckets = draw(st.sampled_from([2, 10, 1000, 2**31 - 1]))
            features.append(CrossFeature(name=f"cross{i}", of=tuple(of), buckets=buckets))
    label = Label(column="y", task="regression")
    return FeatureSet(columns=COLUMNS, label=label, features=tuple(features), rows={})


def rows(count: int, seed: int = 0) -> pd.DataFrame:
    """Plausible served rows, quickly."""
    rng = np.random.default_rng(seed)
    when = pd.Timestamp("1950-02-27") + pd.to_timedelta(rng.integers(0, 10**9, count) * 4, unit="s")
    raw = pd.DataFrame(
        {
            "size": np.where(rng.random(count) < 0.1, np.nan, rng.lognormal(0, 2, count)),
            "price in €": np.where(rng.random(count) < 0.3, np.nan, rng.normal(0, 5, count)),
            "word": rng.choice(np.array(WORDS + TEXTS, object), count),
            "a/b": rng.choice(np.array(WORDS + TEXTS, object), count),
            "when": pd.Series(when).mask(rng.random(count) < 0.1),
            "flag": rng.random(count) < 0.5,
            "maybe": rng.choice([0.0, 1.0, np.nan], count),
        }
    )
    return as_served(raw, COLUMNS)
