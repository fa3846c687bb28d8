"""Joins keep every row of the main table once, and find what pandas finds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.schema import build
from pipeline.ingest.config import JoinConfig
from pipeline.ingest.join import LeftJoin
from tests.ingest.conftest import Ingest

_LAW = settings(deadline=None, max_examples=50)
_SOURCE = {"kind": "file", "path": "partner.csv"}


def _join(**options: Any) -> JoinConfig:
    return build(JoinConfig, {"source": _SOURCE, **options}, "data.joins.partner")


def _joined(main: pa.Table, partner: pa.Table, **options: Any) -> tuple[pd.DataFrame, float]:
    join = LeftJoin(main.schema, partner, "partner", _join(**options))
    table = join(main)
    assert table.schema == join.schema
    in_batches = LeftJoin(main.schema, partner, "partner", _join(**options))
    parts = [in_batches(main.slice(start, 2)) for start in range(0, main.num_rows, 2)]
    assert pa.concat_tables(parts).equals(table)
    assert in_batches.matched_fraction == join.matched_fraction
    return table.to_pandas(), join.matched_fraction


_KEYS = st.lists(st.sampled_from(["a", "b", "é", "", None]), max_size=12)


@_LAW
@given(left=_KEYS.filter(len), right=st.sets(st.sampled_from(["a", "b", "c", "é", ""]), min_size=1))
def test_one_key_joins_as_pandas_does(left: list[str | None], right: set[str]) -> None:
    main = pd.DataFrame({"key": pd.Series(left, dtype="str"), "row": range(len(left))})
    partner = pd.DataFrame({"key": sorted(right), "value": range(len(right))})
    table, matched = _joined(_arrow(main), _arrow(partner), key=["key"], prefix="p_")
    expected = main.merge(partner.rename(columns={"value": "p_value"}), on="key", how="left")
    pd.testing.assert_frame_equal(table, expected, check_dtype=False)
    assert matched == pytest.approx(expected["p_value"].notna().mean())


@_LAW
@given(
    left=st.lists(st.tuples(st.integers(0, 3), st.sampled_from("xyz")), min_size=1, max_size=20),
    right=st.sets(st.tuples(st.integers(0, 3), st.sampled_from("xyz")), min_size=1),
)
def test_two_keys_of_other_names_join_as_pandas_does(
    left: list[tuple[int, str]], right: set[tuple[int, str]]
) -> None:
    main = pd.DataFrame(left, columns=["number", "letter"])
    partner = pd.DataFrame(sorted(right), columns=["n", "l"]).assign(value=range(len(right)))
    table, _ = _joined(
        _arrow(main),
        _arrow(partner.astype({"n": float})),
        left_key=["number", "letter"],
        right_key=["n", "l"],
        columns=["value"],
    )
    expected = main.merge(
        partner, left_on=["number", "letter"], right_on=["n", "l"], how="left"
    ).drop(columns=["n", "l"])
    pd.testing.assert_frame_equal(table, expected, check_dtype=False)


_EVENTS = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 40)), min_size=1, max_size=15, unique=True
)


@_LAW
@given(left=_EVENTS, right=_EVENTS, gap=st.sampled_from([0, 1, 7]), within=st.sampled_from([5, 30]))
def test_the_latest_event_before_as_merge_asof_finds_it(
    left: list[tuple[str, int]], right: list[tuple[str, int]], gap: int, within: int
) -> None:
    main, partner = _events(left), _events(right).assign(value=range(len(right)))
    before = {"column": "at", "gap_hours": gap, "within_hours": within, "age": True}
    table, matched = _joined(_arrow(main), _arrow(partner), key=["who"], before=before)
    shifted = main.assign(row=range(len(main)), until=main["at"] - pd.Timedelta(hours=gap))
    expected = pd.merge_asof(
        shifted.sort_values("until", kind="stable"),
        partner.rename(columns={"at": "then"}).sort_values("then", kind="stable"),
        left_on="until",
        right_on="then",
        by="who",
        allow_exact_matches=gap > 0,
    ).sort_values("row", ignore_index=True)
    hours = (expected["at"] - expected["then"]) / pd.Timedelta(hours=1)
    known = (hours <= within).to_numpy()
    np.testing.assert_array_equal(table["value"], expected["value"].where(known))
    np.testing.assert_array_equal(table["hours_ago"], hours.where(known))
    assert matched == pytest.approx(known.mean())


def test_moments_as_text_dates_and_zones_compare() -> None:
    main = pa.table({"who": ["a", "a"], "at": ["2024-03-02T10:00:00Z", None]})
    day = datetime(2024, 3, 1)
    for moments in (pa.array([day.date()]), pa.array([day], pa.timestamp("ns", "UTC"))):
        partner = pa.table({"who": ["a"], "day": moments, "value": [7]})
        before = {"column": "at", "right_column": "day", "gap_hours": 0, "within_hours": 48}
        table, _ = _joined(main, partner, key=["who"], before=before, columns=["value"])
        assert table["value"].tolist()[0] == 7
        assert table["value"].isna().tolist() == [False, True]


def test_clip_and_aggregate_make_one_row_of_equal_keys() -> None:
    main = pa.table({"k": ["a", "b", "c"]})
    partner = pa.table({"k": ["a", "a", "b", "b"], "delay": [10, 500, None, 30], "n": [1, 2, 3, 4]})
    table, matched = _joined(
        main, partner, key=["k"], columns=["delay"], clip={"delay": [None, 60]}, aggregate="mean"
    )
    assert table["delay"].tolist()[:2] == [35, 30]
    assert np.isnan(table["delay"][2])
    assert matched == pytest.approx(2 / 3)
    assert list(table.columns) == ["k", "delay"]


def test_a_key_with_a_missing_part_has_no_partner() -> None:
    main = pa.table({"a": ["x", None, "x"], "b": [1, 1, None]})
    partner = pa.table({"a": ["x", None], "b": [1, 1], "value": [5, 6]})
    table, _ = _joined(main, partner, key=["a", "b"])
    assert table["value"].tolist()[0] == 5
    assert table["value"].isna().tolist() == [False, True, True]


def test_not_a_number_has_no_partner_and_zero_has_no_sign() -> None:
    nan = float("nan")
    main = pa.table({"k": pa.array([nan, -0.0, 1.0])})
    for zero in (pa.array([nan, nan, 0.0]), pa.array([None, None, 0], pa.int64())):
        partner = pa.table({"k": zero, "v": ["a", "b", "c"]})
        join = LeftJoin(main.schema, partner, "partner", _join(key=["k"]))
        assert join(main)["v"].to_pylist() == [None, "c", None]


def test_a_list_is_no_key() -> None:
    table = pa.table({"k": [[1], [2]]})
    with pytest.raises(DataError, match=r"key k = k of the join 'partner' is of type list"):
        _joined(table, table.append_column("v", [[1, 2]]), key=["k"])


def test_repeated_keys_are_an_error_with_examples() -> None:
    main = pa.table({"k": ["a"], "at": [datetime(2024, 1, 2)]})
    partner = pa.table({"k": ["a", "b", "b"], "at": [datetime(2024, 1, 1)] * 3, "v": [1, 2, 3]})
    with pytest.raises(DataError, match=r"1 rows whose key stands in an earlier row: k=b"):
        LeftJoin(main.schema, partner, "partner", _join(key=["k"], columns=["v"]))
    before = {"column": "at", "gap_hours": 0, "within_hours": 99}
    with pytest.raises(DataError, match=r"1 rows whose key .*: k=b, at=2024-01-01"):
        LeftJoin(main.schema, partner, "partner", _join(key=["k"], before=before))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"key": ["kk"]}, "the main table has no column 'kk'"),
        ({"left_key": ["k"], "right_key": ["kk"]}, "the joined table 'partner' has no column 'kk'"),
        ({"key": ["k"], "columns": ["valeu"]}, "did you mean value"),
        ({"key": ["k"], "columns": ["taken"]}, "brings a second column 'taken'"),
        ({"left_key": ["taken"], "right_key": ["k"]}, "compares int64 with string"),
        ({"key": ["k"], "aggregate": "mean", "columns": ["word"]}, "cannot be clipped or aggr"),
        (
            {"key": ["k"], "before": {"column": "taken", "gap_hours": 0, "within_hours": 1}},
            "holds int64, not moments",
        ),
        (
            {
                "key": ["k"],
                "columns": ["value"],
                "before": {"column": "word", "gap_hours": 0, "within_hours": 1},
            },
            "the main table has no column 'word'",
        ),
    ],
)
def test_joins_that_do_not_fit(options: dict[str, Any], said: str) -> None:
    main = pa.table({"k": ["a"], "taken": [1]})
    partner = pa.table({"k": ["a"], "taken": [2], "value": [3], "word": ["w"]})
    with pytest.raises(DataError) as error:
        LeftJoin(main.schema, partner, "partner", _join(**options))
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "either key, or left_key"),
        ({"key": ["a"], "left_key": ["a"], "right_key": ["a"]}, "either key, or left_key"),
        ({"left_key": ["a"]}, "of the same length"),
        ({"key": ["a"], "columns": ["b"], "clip": {"c": [0, 1]}}, "clip only of columns"),
    ],
)
def test_configs_that_contradict_themselves(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        _join(**options)
    assert said in str(error.value)


def test_joins_in_the_stage(ingest: Ingest, capsys: pytest.CaptureFixture[str]) -> None:
    main = ingest.write("main.csv", "plane,day\nN1,1\nN2,2\nN3,3\n")
    ingest.write("partner.csv", "tail,year\nN1,1999\n")
    joins = {
        "planes": {
            "source": _SOURCE,
            "left_key": ["plane"],
            "right_key": ["tail"],
            "prefix": "plane_",
        }
    }
    table = ingest.run(main, joins)
    assert list(table.columns) == ["plane", "day", "plane_year"]
    assert table["plane_year"].tolist()[0] == 1999
    assert ingest.record.matched_fraction == {"planes": 0.333333}
    assert ingest.record.joins["planes"].rows == 1
    printed = capsys.readouterr().out
    assert "planes: 33.3% of the rows found a partner" in printed
    assert "data.joins.planes.warn_below" in printed


def test_a_join_with_a_damaged_partner_writes_nothing(
    ingest: Ingest, failing: Callable[..., str]
) -> None:
    main = ingest.write("main.csv", "plane\nN1\n")
    ingest.write("partner.csv", "")
    assert "partner.csv is empty" in failing(main, {"p": {"source": _SOURCE, "key": ["plane"]}})


def _events(rows: list[tuple[str, int]]) -> pd.DataFrame:
    start = datetime(2024, 1, 1)
    at = [start + timedelta(hours=hour) for _, hour in rows]
    return pd.DataFrame({"who": [who for who, _ in rows], "at": pd.Series(at)})


def _arrow(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame, preserve_index=False)
