"""Every cleaning rule: what it does, and how many rows it says it touched."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.preprocess.clean import repeated
from tests.preprocess.conftest import COLUMNS, Preprocess, numbers

_RANGED = {**COLUMNS, "x": {"kind": "numeric", "range": [-2, None]}}


def _rows(preprocess: Preprocess) -> int:
    return sum(preprocess.features.rows.values())


def test_clean_rows_stay_as_they_are(preprocess: Preprocess) -> None:
    table = numbers(200)
    splits = preprocess.run(table)
    assert preprocess.cleaned == {
        "wrong_type": 0,
        "out_of_range": 0,
        "missing_label": 0,
        "duplicates": 0,
    }
    kept = pd.concat(list(splits.values())).sort_values("x")["x"]
    np.testing.assert_array_equal(kept, np.sort(table["x"]))


@pytest.mark.parametrize(("rule", "rows"), [("missing", 300), ("drop", 298)])
def test_impossible_values(preprocess: Preprocess, rule: str, rows: int) -> None:
    table = numbers(300)
    table["x"] = table["x"].clip(lower=-1.9) - np.arange(300) * 1e-6
    table.loc[[5, 6, 7], "x"] = [-99.0, -2.1, -np.inf]
    splits = preprocess.run(table, _RANGED, out_of_range=rule)
    # An infinity is missing before any range is looked at.
    assert preprocess.cleaned["out_of_range"] == 2
    assert _rows(preprocess) == rows
    values = pd.concat(list(splits.values()))["x"]
    assert values.min() >= -2
    assert values.isna().sum() == (3 if rule == "missing" else 1)


@pytest.mark.parametrize(("rule", "rows"), [("missing", 300), ("drop", 298)])
def test_wrong_types(preprocess: Preprocess, rule: str, rows: int) -> None:
    table = numbers(300).astype({"x": object})
    table.loc[[5, 6], "x"] = ["?", "unknown"]
    splits = preprocess.run(table.astype({"x": str}), wrong_type=rule)
    assert preprocess.cleaned["wrong_type"] == 2
    assert _rows(preprocess) == rows
    assert pd.concat(list(splits.values()))["x"].isna().sum() == (2 if rule == "missing" else 0)


def test_numbers_as_text_are_numbers(preprocess: Preprocess) -> None:
    table = numbers(200)
    splits = preprocess.run(table.assign(x=table["x"].map(repr)))
    kept = pd.concat(list(splits.values()))["x"].sort_values()
    np.testing.assert_array_equal(kept, np.sort(table["x"]))


@pytest.mark.parametrize(("rule", "rows"), [("drop", 200), ("keep", 230)])
def test_duplicates(preprocess: Preprocess, rule: str, rows: int) -> None:
    table = numbers(200)
    splits = preprocess.run(pd.concat([table, table.head(20), table.head(10)]), duplicates=rule)
    assert preprocess.cleaned.get("duplicates", 30) == 30
    assert _rows(preprocess) == rows
    # Copies that stay are in one split together.
    values = [set(frame["x"]) for frame in splits.values()]
    assert sum(map(len, values)) == len(set.union(*values)) == 200


def test_rows_that_differ_in_an_id_or_the_label_are_no_duplicates(preprocess: Preprocess) -> None:
    table = pd.concat([numbers(100), numbers(100)]).assign(customer=range(200))
    preprocess.run(table, {**COLUMNS, "customer": {"kind": "id"}})
    assert preprocess.cleaned["duplicates"] == 0
    other = numbers(100).assign(label="yes")
    preprocess.run(pd.concat([numbers(100), other]))
    assert preprocess.cleaned["duplicates"] == (numbers(100)["label"] == "yes").sum()


def test_missing_labels_are_dropped(preprocess: Preprocess) -> None:
    table = numbers(200)
    table.loc[[1, 2, 3], "label"] = None
    preprocess.run(table)
    assert preprocess.cleaned["missing_label"] == 3
    assert _rows(preprocess) == 197


def test_rows_without_a_split_key_are_dropped(preprocess: Preprocess) -> None:
    table = numbers(300).assign(year=np.repeat([1.0, 2.0, 3.0], 100))
    table.loc[[1, 101], "year"] = np.nan
    split = {"kind": "time", "column": "year", "validation_from": 2, "test_from": 3}
    preprocess.run(table, split=split)
    assert preprocess.cleaned["missing_split_key"] == 2
    assert preprocess.features.rows == {"train": 99, "validation": 99, "test": 100}


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, -0.0, 1.5, float("nan")]), st.sampled_from(["", "a", "b"])),
        min_size=1,
        max_size=30,
    )
)
def test_repeated_is_what_pandas_calls_duplicated(rows: list[tuple[float, str]]) -> None:
    frame = pd.DataFrame(rows, columns=["number", "word"]).astype({"word": "str"})
    np.testing.assert_array_equal(repeated(frame), frame.duplicated())
    np.testing.assert_array_equal(repeated(frame[["word"]]), frame[["word"]].duplicated())
