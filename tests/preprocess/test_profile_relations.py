"""Columns that go together: SciPy's figures, pairs found, and missing values that share rows."""

from __future__ import annotations

import json

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from scipy import stats

from pipeline.preprocess.profile_records import MissingPattern, Relation
from pipeline.preprocess.profile_relations import missing_patterns, relations
from pipeline.preprocess.profile_together import missing_section, relations_section
from tests.preprocess.conftest import COLUMNS, Preprocess, numbers


@given(st.integers(0, 2**32 - 1), st.floats(0.8, 3))
@settings(max_examples=20)
def test_numbers_are_compared_by_the_correlation_of_their_ranks(seed: int, weight: float):
    random = np.random.default_rng(seed)
    x = random.normal(size=200)
    frame = pd.DataFrame({"x": x, "y": np.exp(x * weight + random.normal(size=200) / 2)})
    (found,) = relations(frame, {"x": "number", "y": "number"})
    assert (found.first, found.second, found.measure) == ("x", "y", "spearman")
    assert found.value == pytest.approx(stats.spearmanr(frame["x"], frame["y"]).statistic)


def test_words_are_compared_by_cramers_v_and_the_closest_pair_comes_first():
    random = np.random.default_rng(0)
    city = random.choice(["Rome", "Oslo", "Lima"], 600)
    frame = pd.DataFrame(
        {
            "city": city,
            "country": pd.Series(city).map({"Rome": "IT", "Oslo": "NO", "Lima": "PE"}),
            "nearly": np.where(random.random(600) < 0.1, "Rome", city),
            "other": random.choice(["a", "b"], 600),
            "paid": random.random(600) < 0.5,
            "same": "x",
            "unique": [f"u{i}" for i in range(600)],
        }
    )
    kinds = dict.fromkeys(frame.columns, "category") | {"paid": "truth"}
    found = relations(frame, kinds)
    pairs = [(one.first, one.second) for one in found]
    assert pairs[0] == ("city", "country")
    assert set(pairs[1:]) == {("city", "nearly"), ("country", "nearly")}
    assert found[0].value == pytest.approx(1, abs=0.01)


def test_rows_that_miss_a_value_are_left_out_of_the_pair():
    x = np.arange(100.0)
    frame = pd.DataFrame({"x": x, "y": np.where(x % 3 == 0, np.nan, -x), "void": np.nan})
    (found,) = relations(frame, dict.fromkeys(frame.columns, "number"))
    assert found.value == pytest.approx(-1)


def test_missing_values_that_share_rows_are_counted_together():
    frame = pd.DataFrame(
        {
            "a": [np.nan] * 30 + [1.0] * 70,
            "b": [""] * 20 + ["x"] * 80,
            "c": [1.0] * 90 + [np.nan] * 10,
            "full": "x",
        }
    )
    assert missing_patterns(frame, list(frame)) == (
        MissingPattern(columns=("a", "b"), fraction=0.2),
        MissingPattern(columns=("c",), fraction=0.1),
        MissingPattern(columns=("a",), fraction=0.1),
    )
    assert missing_patterns(frame, ["full"]) == ()


def test_the_profile_says_which_columns_say_the_same(preprocess: Preprocess):
    table = numbers(400).assign(twin=lambda frame: frame["x"] * 2 + 1)
    table.loc[:50, ["x", "twin"]] = np.nan
    preprocess.run(table, {**COLUMNS, "twin": {"kind": "numeric"}})
    folder = preprocess.artifacts.profile.path
    profile = json.loads((folder / "profile.json").read_text())
    assert profile["relations"][0] == {
        "first": "x",
        "second": "twin",
        "measure": "spearman",
        "value": 1.0,
    }
    assert profile["missing_patterns"][0]["columns"] == ["x", "twin"]
    redundant = [one for one in profile["findings"] if one["kind"] == "redundant"]
    assert [one["column"] for one in redundant] == ["x"]
    page = (folder / "profile.html").read_text()
    assert "Columns that go together" in page
    assert "missing together" in page


def test_hostile_names_are_escaped():
    hostile = "<script>alert(1)</script>"
    page = missing_section([MissingPattern(columns=(hostile,) * 9, fraction=0.5)])
    page += relations_section(
        [Relation(first=hostile, second=hostile, measure="spearman", value=-0.9)]
    )
    assert "<script>" not in page
    assert "and 1 more" in page
    assert missing_section([]) == relations_section([]) == ""
