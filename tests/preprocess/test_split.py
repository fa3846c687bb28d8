"""Splits: each row in one, the same rows always in the same, and nothing shared between them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import PipelineError
from pipeline.preprocess.config import HashSplit, RandomSplit, TimeSplit
from pipeline.preprocess.raw import SPLIT_KEY
from pipeline.preprocess.split import assign, by_hash, by_time, counts, verify
from pipeline.preprocess.split_random import at_random

_LAW = settings(deadline=None, max_examples=60)
_TIME = TimeSplit(
    kind="time", column="at", validation_from="2024-06-01", test_from="2024-09-01T12:00:00Z"
)
_HASH = HashSplit(kind="hash", columns=("key",), validation_fraction=0.2, test_fraction=0.3)


def _random(**options: Any) -> RandomSplit:
    standard = {"validation_fraction": 0.2, "test_fraction": 0.3, "seed": 3}
    return RandomSplit(kind="random", **{**standard, **options})


def _frame(column: str, values: Any) -> pd.DataFrame:
    return pd.DataFrame({SPLIT_KEY + column: values})


_MOMENTS = st.datetimes(
    pd.Timestamp("2024-01-01").to_pydatetime(), pd.Timestamp("2024-12-31").to_pydatetime()
)


@_LAW
@given(st.lists(_MOMENTS, min_size=1, max_size=30))
def test_time_runs_from_train_to_test(moments: list[Any]) -> None:
    words = pd.Series([moment.isoformat(timespec="seconds") for moment in moments], dtype="str")
    places = by_time(words, _TIME)
    for word, place in zip(words, places, strict=True):
        expected = (word >= "2024-06-01") + (word >= "2024-09-01T12:00:00")
        assert place == expected


def test_a_bound_belongs_to_the_later_split_whatever_the_zone_is_written_like() -> None:
    words = pd.Series(["2024-05-31T23:59:59", "2024-06-01", "2024-06-01T02:00:00+02:00"])
    assert by_time(words, _TIME).tolist() == [0, 1, 1]
    late = pd.Series(["2024-09-01T11:59:59Z", "2024-09-01 12:00", "2024-09-01T14:00:00+02:00"])
    assert by_time(late, _TIME).tolist() == [1, 2, 2]


def test_time_in_numbers() -> None:
    config = TimeSplit(kind="time", column="at", validation_from=2010.0, test_from=2011.5)
    assert by_time(pd.Series([2009.0, 2010.0, 2011.0, 2012.0]), config).tolist() == [0, 1, 1, 2]


@_LAW
@given(st.lists(st.text(max_size=5), min_size=1, max_size=40), st.randoms())
def test_a_key_has_one_split_in_every_table(keys: list[str], random: Any) -> None:
    series = pd.Series(keys, dtype="str")
    places = dict(zip(keys, by_hash([series], _HASH), strict=True))
    again = keys * 2 + ["another"]
    random.shuffle(again)
    for key, place in zip(again, by_hash([pd.Series(again, dtype="str")], _HASH), strict=True):
        assert places.get(key, place) == place


def test_hash_shares_are_near_the_fractions_and_never_change() -> None:
    keys = pd.Series([f"customer {i}" for i in range(20_000)], dtype="str")
    places = by_hash([keys], _HASH)
    shares = np.bincount(places) / len(places)
    np.testing.assert_allclose(shares, [0.5, 0.2, 0.3], atol=0.015)
    # The promise to every table there ever was: a change here moves rows between splits.
    assert places[:24].tolist() == [
        2,
        0,
        0,
        2,
        2,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        1,
        0,
        0,
        0,
        2,
        1,
        0,
        2,
        2,
        2,
        1,
    ]
    salted = HashSplit(**{**vars(_HASH), "salt": "other"})
    assert (by_hash([keys], salted) != places).mean() > 0.5


def test_a_key_of_two_columns_is_not_their_sum() -> None:
    one, two = (pd.Series([f"{c}{i}" for i in range(500)], dtype="str") for c in "ab")
    pair = HashSplit(**{**vars(_HASH), "columns": ("one", "two")})
    assert (by_hash([one, two], pair) != by_hash([two, one], pair)).any()


@_LAW
@given(
    st.lists(st.integers(0, 2), min_size=1, max_size=60),
    st.integers(0, 5),
    st.booleans(),
)
def test_random_splits_keep_their_sizes(labels: list[int], seed: int, stratify: bool) -> None:
    config = _random(seed=seed, stratify=stratify)
    strata = np.array(labels)
    places = at_random(strata, np.arange(len(labels), dtype=np.uint64), config)
    for part in [places[strata == c] for c in set(labels)] if stratify else [places]:
        assert (part == 2).sum() == round(len(part) * 0.3)
        assert (part == 1).sum() == round(len(part) * 0.2)
    np.testing.assert_array_equal(
        at_random(strata, np.arange(len(labels), dtype=np.uint64), config), places
    )


@_LAW
@given(st.lists(st.integers(0, 8), min_size=1, max_size=60))
def test_equal_rows_stay_together(same: list[int]) -> None:
    groups = np.array(same, np.uint64)
    places = at_random(np.zeros(len(same), np.int64), groups, _random())
    for group in set(same):
        assert len(set(places[groups == group])) == 1


def test_another_seed_is_another_split() -> None:
    rows = np.arange(200, dtype=np.uint64)
    first, second = (
        at_random((rows % 2).astype(np.int64), rows, _random(seed=seed)) for seed in (0, 1)
    )
    assert (first != second).mean() > 0.3


def test_numbers_are_stratified_by_decile() -> None:
    label = np.random.default_rng(0).lognormal(size=1000)
    places = at_random(label, np.arange(1000, dtype=np.uint64), _random(stratify=True))
    top = label >= np.quantile(label, 0.9)
    assert counts(places[top]) == {"train": 50, "validation": 20, "test": 30}


def test_a_planted_leak_between_splits_is_caught() -> None:
    rows = np.arange(300)
    days = pd.date_range("2024-01-01", periods=300).strftime("%Y-%m-%d")
    frame = pd.DataFrame({SPLIT_KEY + "at": days, SPLIT_KEY + "key": [f"k{i % 40}" for i in rows]})
    groups = (rows % 100).astype(np.uint64)
    for config, said in (
        (_TIME, "rows of train are not all earlier than those of validation"),
        (_HASH, "1 keys stand in more than one split, e.g. k"),
        (_random(), "1 keys stand in more than one split"),
    ):
        places = assign(frame, config, rows % 2, groups)
        verify(frame, places, config, groups)
        leaking = places.copy()
        moved = np.flatnonzero(places == 0)[-1]
        leaking[0 if config is _TIME else moved] = 1
        if config is _TIME:
            leaking[np.flatnonzero(places == 1)[-1]] = 0
        with pytest.raises(PipelineError) as error:
            verify(frame, leaking, config, groups)
        assert said in str(error.value)
