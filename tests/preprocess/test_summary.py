"""Summaries of parts, put together in any way, say what a summary of the whole says."""

from __future__ import annotations

from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.bags import tokens
from pipeline.preprocess.config import ListConfig, NumericConfig, TextConfig
from pipeline.preprocess.row_hash import hash_rows, hash_words
from pipeline.preprocess.summary_bags import Bag, Commonest
from pipeline.preprocess.summary_cells import MOST_CELLS, Cells, Distinct, Moments, occurring
from pipeline.preprocess.summary_counts import NumberCounts
from pipeline.preprocess.summary_numbers import Numbers
from pipeline.preprocess.summary_words import Dates, Truths, Words

_LAW = settings(deadline=None, max_examples=50)
_NUMBERS = st.lists(
    st.one_of(st.floats(-1e6, 1e6), st.integers(-5, 5).map(float), st.just(float("nan"))),
    min_size=1,
    max_size=80,
)
_WORDS = st.lists(st.sampled_from(["", "a", "b", "ü", "2024-02-30", "2024-02-29"]), max_size=60)


def cut(values: list[Any], random: Any, dtype: str) -> list[pd.Series[Any]]:
    """`values` in parts, some of them empty."""
    ends = sorted(random.choices(range(len(values) + 1), k=4))
    bounds = zip([0, *ends], [*ends, len(values)], strict=True)
    return [pd.Series(values[low:high], dtype=dtype, name="x") for low, high in bounds]


def merged(summaries: list[Any], random: Any) -> Any:
    """One of all: neighbours are merged in any order, as a tree would."""
    while len(summaries) > 1:
        place = random.randrange(len(summaries) - 1)
        summaries[place].merge(summaries.pop(place + 1))
    return summaries[0]


def added(summary: Any, values: Any) -> Any:
    summary.add(values)
    return summary


def cells_of(numbers: np.ndarray, most: int = MOST_CELLS) -> Cells:
    cells = Cells(most)
    cells.add(*occurring(numbers))
    return cells


@_LAW
@given(_NUMBERS, st.randoms())
def test_moments_of_parts(values: list[float], random: Any):
    known = np.array([value for value in values if not np.isnan(value)])
    parts = [part.dropna().to_numpy() for part in cut(values, random, "float64")]
    found = merged([Moments.of(part) for part in parts], random)
    assert found.count == len(known)
    if len(known):
        assert (found.low, found.high) == (known.min(), known.max())
        assert found.mean == pytest.approx(known.mean(), rel=1e-12, abs=1e-9)
        assert found.deviation == pytest.approx(known.std(), rel=1e-9, abs=1e-6)


@pytest.mark.parametrize(
    ("middle", "spread"), [(2.0**53, 3.0), (-(2.0**60), 4000.0), (1e15, 1.0), (1.0, 1e-14)]
)
def test_numbers_that_are_large_and_close_together(middle: float, spread: float):
    numbers = middle + np.random.default_rng(0).normal(0, spread, 3001)
    known = [Fraction(number) for number in numbers.tolist()]
    mean = sum(known) / len(known)
    deviation = float(sum((number - mean) ** 2 for number in known) / len(known)) ** 0.5
    parts = [Moments.of(part) for part in np.array_split(numbers, 37)]
    for found in (Moments.of(numbers), Moments.of(*occurring(numbers)), merged(parts, Random(0))):
        assert found.deviation == pytest.approx(deviation, rel=1e-14)
        assert abs(Fraction(found.mean) - mean) <= np.spacing(abs(middle)) / 2


@_LAW
@given(_NUMBERS, st.randoms(), st.sampled_from([4, 16, 1000]))
def test_cells_depend_on_the_numbers_alone(values: list[float], random: Any, most: int):
    parts = [part.dropna().to_numpy() for part in cut(values, random, "float64")]
    whole = cells_of(np.concatenate(parts), most)
    found = merged([cells_of(part, most) for part in parts], random)
    np.testing.assert_array_equal(found.numbers, whole.numbers)
    np.testing.assert_array_equal(found.counts, whole.counts)
    assert found.shift == whole.shift
    assert len(found.numbers) <= most
    if found.exact and found.rows:
        known, shares = np.concatenate(parts), [0.0, 0.1, 0.25, 0.5, 0.99, 1.0]
        exact = np.quantile(known, shares, method="inverted_cdf")
        np.testing.assert_array_equal(found.quantiles(shares), exact)


@pytest.mark.parametrize("shape", ["normal", "lognormal", "uniform", "integers"])
def test_quantiles_of_many_numbers_are_off_by_no_more_than_is_said(shape: str):
    random = np.random.default_rng(0)
    numbers = {
        "normal": lambda: random.normal(size=300_000),
        "lognormal": lambda: random.lognormal(0, 4, 300_000),
        "uniform": lambda: 1.7e9 + random.random(300_000) * 3e7,
        "integers": lambda: random.integers(0, 50_000, 300_000).astype(float),
    }[shape]()
    cells = merged([cells_of(part) for part in np.array_split(numbers, 7)], Random(0))
    assert cells.exact is (shape == "integers")
    assert cells.rank_error <= (0 if cells.exact else 2e-3)
    shares = np.linspace(0.01, 0.99, 99)
    ordered = np.sort(numbers)
    found = cells.quantiles(shares)
    ranks = [
        np.searchsorted(ordered, found, side=side) / len(numbers) for side in ("left", "right")
    ]
    assert (ranks[0] <= shares + cells.rank_error).all()
    assert (ranks[1] >= shares - 1e-9).all()


@_LAW
@given(_NUMBERS, st.randoms(), st.booleans())
def test_a_column_of_numbers(values: list[float], random: Any, log: bool):
    how = NumericConfig(kind="numeric", range=(-4.0, None), clip=(-2.0, 3.0), log=log)
    parts = cut(values, random, "float64")
    whole = added(Numbers("x", how), pd.Series(values, dtype="float64"))
    found = merged([added(Numbers("x", how), part) for part in parts], random)
    assert (found.rows, found.present, found.whole) == (whole.rows, whole.present, whole.whole)
    assert (found.distinct, repr(found.commonest)) == (whole.distinct, repr(whole.commonest))
    if found.present:
        assert found.scaled_median() == whole.scaled_median()
        one, other = found.scaled_moments(), whole.scaled_moments()
        assert (one.low, one.high) == (other.low, other.high)
        assert one.mean == pytest.approx(other.mean, rel=1e-12, abs=1e-12)


@_LAW
@given(_WORDS, st.randoms())
def test_a_column_of_words(values: list[str], random: Any):
    parts = cut(values, random, "str")
    found = merged([added(Words("x"), part) for part in parts], random)
    words = pd.Series(values, dtype="str")
    expected = words[words != ""].value_counts().sort_index()
    assert found.counts.to_dict() == expected.to_dict()
    assert (found.rows, found.missing) == (len(values), values.count(""))
    assert found.distinct == len(expected)
    dates = merged([added(Dates("x"), part) for part in parts], random)
    assert (dates.rows, dates.missing) == (found.rows, found.missing)
    assert dates.dated is ("2024-02-29" in values)
    assert dates.shown == list(dict.fromkeys(filter(None, values)))[:5]


_TEXTS = st.lists(st.sampled_from(["", "a b a", "B;a", "ü-b", "a b", " ; "]), max_size=60)


@_LAW
@given(_TEXTS, st.randoms(), st.booleans())
def test_a_column_of_texts(values: list[str], random: Any, listed: bool):
    how = ListConfig(kind="list") if listed else TextConfig(kind="text")
    found = merged([added(Bag("x", how), part) for part in cut(values, random, "str")], random)
    in_rows = [{one.decode() for one in tokens(text, ";" if listed else None)} for text in values]
    expected = {word: sum(word in row for row in in_rows) for word in set().union(*in_rows)}
    assert found.rows_with.to_dict() == expected
    assert found.rows == len(values)
    if values:
        text, share = found.commonest
        most = max(values.count(one) for one in values)
        # Which of several is shown may differ; one that most rows have is always found.
        assert share == values.count(text) / len(values)
        if 2 * most > len(values):
            assert values.count(text) == most


def test_the_text_of_most_rows_is_found_among_many_others():
    texts = ["same"] * 20_000 + [f"other {i}" for i in range(9_000)]
    values = pd.Series(np.random.default_rng(0).permutation(texts), dtype="str")
    parts = [values[start : start + 500] for start in range(0, len(values), 500)]
    text, share = merged([added(Commonest(), part) for part in parts], Random(0)).commonest
    assert text == "same"
    assert 20_000 - 9_000 / 1024 <= share * len(values) <= 20_000


def test_more_numbers_than_are_kept_cost_the_rarest():
    numbers = np.concatenate([np.repeat(np.arange(20), 500), np.arange(100, 20_100)])
    numbers = np.random.default_rng(0).permutation(numbers)
    parts = [NumberCounts(most=1000) for _ in range(6)]
    for place, part in enumerate(parts):
        part.add(*np.unique(numbers[place::6], return_counts=True))
    found = merged(parts, Random(0))
    assert len(found.numbers) <= 1000
    assert 0 < found.undercount < len(numbers) / 1000
    assert all(500 - found.undercount <= found.of(number) <= 500 for number in range(20))
    assert found.of(99) == 0


@_LAW
@given(st.lists(st.sampled_from([1.0, 0.0, float("nan")]), max_size=40), st.randoms())
def test_a_column_of_truth_values(values: list[float], random: Any):
    parts = cut(values, random, "float64")
    found = merged([added(Truths("x", always=False), part) for part in parts], random)
    assert (found.rows, found.true) == (len(values), values.count(1.0))
    assert found.missing == sum(map(np.isnan, values))


def test_more_words_than_are_kept_cost_the_rarest():
    random = np.random.default_rng(0)
    often = [f"often {i}" for i in range(20)] * 500
    once = [f"once {i}" for i in range(20_000)]
    values = pd.Series(random.permutation([*often, *once]), dtype="str")
    parts = [values[start::6] for start in range(6)]
    found = merged([added(Words("x", most=1000), part) for part in parts], Random(0))
    counts = found.counts
    assert len(counts) <= 1000
    assert 0 < found.undercount < len(values) / 1000 * 6
    for word in set(often):
        assert 500 - found.undercount <= counts[word] <= 500
    assert found.distinct == pytest.approx(20_020, rel=0.05)


def test_different_values_are_counted_nearly():
    hashes = hash_words(pd.Series([f"w{i}" for i in range(200_000)], dtype="str"))
    found = Distinct()
    for part in np.array_split(np.concatenate([hashes, hashes[:50_000]]), 9):
        found.add(part)
    assert found.count == pytest.approx(200_000, rel=0.03)
    few = added(Distinct(), hashes[:100])
    assert few.count == 100


@_LAW
@given(st.lists(st.text(max_size=20) | st.sampled_from(["é" * 40, "x" * 300]), max_size=30))
def test_equal_words_have_equal_hashes_wherever_they_stand(words: list[str]):
    words = [word.encode("utf-8", errors="replace").decode() for word in words]
    series = pd.Series(words, dtype="str")
    hashes = hash_words(series)
    assert len(set(hashes.tolist())) == len(set(words))
    np.testing.assert_array_equal(hash_words(series.iloc[3:]), hashes[3:])
    np.testing.assert_array_equal(hash_words(series.iloc[::-1]), hashes[::-1])


def test_rows_are_equal_where_all_their_values_are():
    frame = pd.DataFrame(
        {
            "a": [0.0, -0.0, np.nan, -np.nan, 1.0, 2.0],
            "b": pd.Series(["x", "x", "", "", "1", "1"], dtype="str"),
            "c": pd.Series(["x", "x", "", "", "", ""], dtype="str"),
        }
    )
    hashes = hash_rows(frame)
    assert hashes[0] == hashes[1]
    assert hashes[2] == hashes[3]
    assert len(set(hashes.tolist())) == 4
    assert hash_rows(frame[["a", "c", "b"]])[4] != hashes[4]
