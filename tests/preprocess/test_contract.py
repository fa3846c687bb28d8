"""New rows against the contract: every kind of anomaly, its severity, its count and its rows."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError, DataError
from pipeline.preprocess import STAGE
from pipeline.preprocess.config import PreprocessStageConfig
from pipeline.preprocess.contract import Contract, anomalies
from pipeline.preprocess.contract_records import Anomaly
from pipeline.preprocess.contract_training import Seen, Training
from tests.preprocess.conftest import LABEL_CONFIG, RANDOM, RULES, Preprocess

ROWS = 40
COLUMNS: Mapping[str, Any] = {
    "ident": {"kind": "id", "unique": True},
    "start": {"kind": "datetime", "at_most": "end"},
    "end": {"kind": "datetime"},
    "size": {"kind": "numeric", "range": [0, 10], "at_most": "limit"},
    "limit": {"kind": "numeric", "max_missing_fraction": 0.1},
    "colour": {"kind": "categorical", "allowed": ["red", "green"]},
    "place": {"kind": "categorical"},
    "paid": {"kind": "boolean"},
}


def table() -> pd.DataFrame:
    """Rows that keep every rule."""
    number = np.arange(ROWS)
    return pd.DataFrame(
        {
            "ident": [f"i{i}" for i in number],
            "start": pd.date_range("2024-01-01", periods=ROWS).strftime("%Y-%m-%d"),
            "end": pd.date_range("2024-01-02", periods=ROWS).strftime("%Y-%m-%d"),
            "size": number % 7 + 0.5,
            "limit": 8.0 + number % 3,
            "colour": np.where(number % 2, "red", "green"),
            "place": np.where(number % 3, "Rome", "Oslo"),
            "paid": number % 5 > 1,
            "label": np.where(number % 2, "yes", "no"),
        }
    )


def stage_config(label: Any = LABEL_CONFIG, **rules: Any) -> PreprocessStageConfig:
    made: PreprocessStageConfig = STAGE.configure(
        {
            "data": {"columns": COLUMNS, "crosses": {}, "label": label, "split": RANDOM},
            "preprocess": {**RULES, **rules},
        }
    )
    return made


def training() -> Training:
    served = table().astype({"paid": bool})
    columns = {name: Seen.of(served[name]) for name in COLUMNS if name != "ident"}
    return Training(columns, frozenset(served.columns) | {"noted"})


def found(frame: pd.DataFrame, trained: Training | None = None, **rules: Any) -> list[Anomaly]:
    return list(anomalies(frame, stage_config(**rules), trained))


def test_rows_that_keep_every_rule_and_look_like_training_have_no_anomaly():
    assert found(table(), training()) == []


CELLS = st.sampled_from(
    ["", None, "red", "blue", "i1", "1.5", 2.5, -1, 99, "2024-01-05", "soon", True, "yes", "maybe"]
)
CHANGES = st.lists(
    st.tuples(st.integers(0, ROWS - 1), st.sampled_from([*COLUMNS, "label"]), CELLS), max_size=30
)


@settings(max_examples=40, deadline=None)
@given(
    CHANGES,
    st.lists(st.integers(0, ROWS), max_size=4),
    st.sampled_from(["error", "missing"]),
    st.booleans(),
)
def test_batches_are_told_of_as_the_whole_table_is(
    changes: list[tuple[int, str, Any]], cuts: list[int], wrong_type: str, trained: bool
):
    frame = table().astype(object)
    for row, column, value in changes:
        frame.loc[row, column] = value
    rules = {"wrong_type": wrong_type, "shown_rows": 3}
    edges = sorted({0, *cuts, ROWS})
    parts = [frame.iloc[low:high] for low, high in itertools.pairwise(edges)]
    seen = training() if trained else None
    with tempfile.TemporaryDirectory() as name:
        names = list(map(str, frame.columns))
        contract = Contract(names, ROWS, stage_config(**rules), seen, Path(name))
        assert list(contract.held(lambda: parts)) == found(frame, seen, **rules)


def test_a_value_of_another_kind_is_told_of_once():
    frame = table().astype(object)
    frame.loc[:7, ["paid", "limit"]] = "neither"
    kinds = [(one.kind, one.column) for one in found(frame, training())]
    assert kinds == [("wrong_type", "limit"), ("wrong_type", "paid")]
    repaired = {(one.kind, one.column) for one in found(frame, training(), wrong_type="missing")}
    assert ("too_many_missing", "limit") in repaired, "a run would stop there"


def test_a_weight_of_another_kind_is_told_of_once():
    columns = {"place": COLUMNS["place"], "w": {"kind": "weight"}}
    data = {"columns": columns, "crosses": {}, "label": LABEL_CONFIG, "split": RANDOM}
    config = STAGE.configure({"data": data, "preprocess": RULES})
    frame = table().assign(w=np.where(np.arange(ROWS) == 3, "heavy", "1"))
    kinds = [one.kind for one in anomalies(frame, config, None) if one.severity == "error"]
    assert kinds == ["wrong_type"]
    frame.loc[[5, 6], "w"] = ["-1", ""]
    errors = {one.kind: one for one in anomalies(frame, config, None) if one.severity == "error"}
    assert errors["no_weight"].examples == ("row 6: '-1'", "row 7: ''")
    assert errors["too_many_missing"].rows == 1


def with_row(**values: Any) -> pd.DataFrame:
    """The table with other values in its fourth row."""
    frame = table().astype({"paid": object, "size": object})
    for name, value in values.items():
        frame.loc[3, name] = value
    return frame


@pytest.mark.parametrize(
    ("frame", "kind", "column", "rows", "example"),
    [
        (with_row(ident="i1"), "not_unique", "ident", 2, "row 2: 'i1'"),
        (with_row(start="2024-03-30"), "above_other", "start", 1, "row 4: '2024-03-30'"),
        (with_row(size=11.0), "out_of_range", "size", 1, "row 4: 11.0"),
        (with_row(size=9.75), "above_other", "size", 1, "row 4: 9.75"),
        (with_row(size="wide"), "wrong_type", "size", 1, "row 4: 'wide'"),
        (with_row(start="soon"), "wrong_type", "start", 1, "row 4: 'soon'"),
        (with_row(colour="blue"), "not_allowed", "colour", 1, "row 4: 'blue'"),
        (table().assign(limit=np.nan), "no_value", "limit", ROWS, None),
        (table().assign(limit=[np.nan] * 5 + [9.0] * 35), "too_many_missing", "limit", 5, None),
        (table().drop(columns="place"), "missing_column", "place", ROWS, None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_rule_is_an_error_with_its_rows(
    frame: pd.DataFrame, kind: str, column: str, rows: int, example: str | None
):
    strict = found(frame, out_of_range="error")
    broken = [one for one in strict if (one.kind, one.column) == (kind, column)]
    assert len(broken) == 1, strict
    assert broken[0].severity == "error"
    assert broken[0].rows == rows
    assert broken[0].fraction == rows / ROWS
    assert broken[0].examples[:1] == (() if example is None else (example,))
    others = {one.column for one in strict if one.severity == "error"} - {column}
    assert not others, "nothing else is accused"


def test_what_a_cleaning_rule_repairs_is_a_warning_that_says_so():
    repaired = found(with_row(size="wide"), wrong_type="missing")
    assert [(one.kind, one.severity) for one in repaired] == [("wrong_type", "warning")]
    assert repaired[0].text.endswith("it counts as missing")
    dropped = found(with_row(size=-1.0), out_of_range="drop")
    assert "training drops such rows" in dropped[0].text
    assert dropped[0].severity == "warning"


@pytest.mark.parametrize(
    ("frame", "kind", "column", "rows"),
    [
        (with_row(place="Lima"), "new_words", "place", 1),
        (with_row(limit=11.0), "beyond_training", "limit", 1),
        (with_row(paid=None), "never_missing", "paid", 1),
        (table().assign(place=[""] * 4 + ["Rome"] * 36), "more_missing", "place", 4),
        (table().assign(fresh=1), "new_column", "fresh", ROWS),
        (pd.concat([table(), table()]).reset_index(drop=True), "duplicates", None, ROWS),
        (table().drop(columns="label"), "missing_column", "label", ROWS),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_training_never_saw_is_a_warning(
    frame: pd.DataFrame, kind: str, column: str | None, rows: int
):
    warned = [one for one in found(frame, training()) if one.kind == kind]
    assert [(one.column, one.severity, one.rows) for one in warned] == [(column, "warning", rows)]


def test_without_a_run_only_the_rules_are_asked():
    assert found(with_row(place="Lima").assign(fresh=1)) == []


def test_a_renamed_column_is_recognised():
    frame = table().rename(columns={"colour": "color"})
    absent = next(one for one in found(frame) if one.kind == "missing_column")
    assert "was it renamed to 'color'?" in absent.text


@pytest.mark.parametrize(
    ("options", "trained", "kind", "severity"),
    [
        ({}, ("no", "yes"), "new_words", "warning"),
        ({"classes": ["no", "yes"]}, (), "not_allowed", "error"),
    ],
    ids=["training", "config"],
)
def test_a_strange_class_of_the_label(
    options: dict[str, Any], trained: tuple[str, ...], kind: str, severity: str
):
    label = {**LABEL_CONFIG, **options}
    strange = found(with_row(label="maybe"), Training(classes=trained), label=label)
    assert [(one.kind, one.severity, one.rows) for one in strange if one.column == "label"] == [
        (kind, severity, 1)
    ]
    assert "'maybe'" in "".join(strange[-1].examples)
    assert not [one for one in found(table(), Training(classes=trained), label=label) if one.column]


def test_a_label_that_is_missing():
    some, none = with_row(label=None), table().assign(label=None)
    assert found(some) == []
    (warned,) = found(none)
    assert (warned.kind, warned.severity, warned.rows) == ("no_value", "warning", ROWS)
    (refused,) = found(some, missing_label="error")
    assert (refused.column, refused.severity, refused.rows) == ("label", "error", 1)


def test_a_number_has_no_strange_classes():
    rows = table().assign(label=np.arange(ROWS) - 5.5)
    label = {**LABEL_CONFIG, "threshold": 0.0, "classes": ["early", "late"]}
    assert found(rows, Training(classes=("early", "late")), label=label) == []


def test_errors_come_first():
    severities = [one.severity for one in found(with_row(place="Lima", ident="i1"), training())]
    assert severities == ["error", "warning"]


@given(rows=st.sets(st.integers(0, ROWS - 1)))
@settings(max_examples=25)
def test_every_row_that_breaks_a_rule_is_counted_and_no_other(rows: set[int]):
    frame = table()
    frame.loc[sorted(rows), "colour"] = "blue"
    counted = [one.rows for one in found(frame) if one.kind == "not_allowed"]
    assert counted == ([len(rows)] if rows else [])


def test_the_stage_keeps_the_same_rules(preprocess: Preprocess):
    with pytest.raises(DataError, match=r"'ident' stands in one row only: not so in 2 rows"):
        preprocess.run(with_row(ident="i1"), COLUMNS)
    with pytest.raises(DataError, match=r"'start' is not later than 'end': not so in 1 rows"):
        preprocess.run(with_row(start="2024-03-30"), COLUMNS)


@pytest.mark.parametrize("other", ["ende", "size", "start"])
def test_a_relation_needs_another_column_of_the_same_kind(preprocess: Preprocess, other: str):
    columns = {**COLUMNS, "start": {"kind": "datetime", "at_most": other}}
    with pytest.raises(ConfigError, match="another datetime column: end"):
        preprocess.run(table(), columns)
