"""Which rows belong to which slice."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.core.features import (
    BooleanFeature,
    CategoricalFeature,
    Column,
    DatetimeFeature,
    FeatureSet,
    Label,
)
from pipeline.core.records import LABEL
from pipeline.evaluate.config import SlicesConfig
from pipeline.evaluate.slices import slice_columns, slices

FEATURES = FeatureSet(
    columns=(
        Column(name="city", dtype="string"),
        Column(name="code", dtype="string"),
        Column(name="day", dtype="string"),
        Column(name="open", dtype="bool"),
        Column(name="size", dtype="float64"),
    ),
    label=Label(column="y", task="binary", classes=("no", "yes")),
    features=(
        CategoricalFeature(name="code", column="code", vocabulary=()),
        CategoricalFeature(name="city", column="city", vocabulary=("Oslo",)),
        DatetimeFeature(name="day", column="day", parts=("month",)),
        BooleanFeature(name="open", column="open"),
    ),
    rows={"train": 1, "validation": 1, "test": 1},
)
FRAME = pd.DataFrame(
    {
        "city": pd.array(["Oslo"] * 50 + ["Łódź"] * 30 + [""] * 15 + ["Rio"] * 5, dtype="str"),
        "code": pd.array([str(i % 20) for i in range(100)], dtype="str"),
        "day": pd.array([f"2013-{1 + i // 50:02d}-01T10:00:00" for i in range(100)], dtype="str"),
        "open": [True, False] * 50,
        "size": [*range(99), np.nan],
        "few": [1.0, 2.5] * 50,
        LABEL: 0,
    }
)


def options(**changes) -> SlicesConfig:
    plain = {"columns": None, "automatic_columns": 2, "values": 10, "min_rows": 10}
    return SlicesConfig(**(plain | changes))


def sizes(column: str, **changes) -> dict[str, int]:
    return {part.value: part.rows for part in slices(FRAME, [column], FEATURES, options(**changes))}


def test_text_is_cut_by_value_the_largest_first_and_small_ones_are_left_out():
    assert sizes("city") == {"Oslo": 50, "Łódź": 30, "(missing)": 15}
    assert list(sizes("city")) == ["Oslo", "Łódź", "(missing)"]
    assert sizes("city", values=1) == {"Oslo": 50}
    assert sizes("city", min_rows=40) == {"Oslo": 50}


def test_dates_are_cut_by_month_and_truth_by_value():
    assert sizes("day") == {"2013-01": 50, "2013-02": 50}
    assert sizes("open") == {"True": 50, "False": 50}


def test_numbers_are_cut_into_quartiles_unless_they_are_few():
    assert sizes("few") == {"1": 50, "2.5": 50}
    quartiles = sizes("size", min_rows=1)
    assert len(quartiles) == 5
    assert quartiles.pop("(missing)") == 1
    assert all(24 <= rows <= 26 for rows in quartiles.values())


def test_slices_of_a_column_share_no_row():
    for column in ("city", "day", "open", "size", "few"):
        chosen = [part.chosen for part in slices(FRAME, [column], FEATURES, options(min_rows=1))]
        assert (np.sum(chosen, axis=0) == 1).all()


def test_the_automatic_choice_takes_words_and_truths_of_fewest_values():
    assert slice_columns(FRAME, FEATURES, options()) == ["open", "city"]
    assert slice_columns(FRAME, FEATURES, options(automatic_columns=9)) == ["open", "city", "code"]
    assert slice_columns(FRAME, FEATURES, options(automatic_columns=0)) == []
    assert slice_columns(FRAME, FEATURES, options(columns=("size",))) == ["size"]


def test_a_column_that_preprocess_left_out_is_passed_over(capsys: pytest.CaptureFixture[str]):
    assert slice_columns(FRAME, FEATURES, options(columns=("constant", "city"))) == ["city"]
    assert "no slices by constant: preprocess left out" in capsys.readouterr().out
