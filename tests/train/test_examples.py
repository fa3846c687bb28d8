"""Splits become arrays; damaged ones are refused by name."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.features import Label
from pipeline.core.records import LABEL
from pipeline.train.examples import class_weights, examples, require_classes
from tests.train.worlds import LABELS, features, frame


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_split_becomes_arrays_of_the_types_a_core_takes(task: str) -> None:
    rows = examples(frame(task, 50, 0), features(task), "train")
    assert rows.encoded.dense.dtype == np.float32
    assert rows.encoded.dense.shape == (50, 2)
    assert rows.encoded.indices.dtype == np.int32
    assert rows.encoded.indices.shape == (50, 1)
    assert len(rows) == 50
    assert rows.labels.shape == ((50,) if task == "multiclass" else (50, 1))


def test_a_number_to_predict_is_standardised() -> None:
    table = frame("regression", 50, 0)
    rows = examples(table, features("regression"), "train")
    np.testing.assert_allclose(rows.labels[:, 0] * 4 + 10, table[LABEL], rtol=1e-6)


def test_the_table_is_not_changed() -> None:
    table = frame("binary", 20, 0)
    before = table.copy(deep=True)
    examples(table, features("binary"), "train")
    pd.testing.assert_frame_equal(table, before)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (frame("binary", 9, 0).drop(columns="word"), r"train.parquet lacks word"),
        (frame("binary", 9, 0).drop(columns=LABEL), r"train.parquet lacks __label__"),
        (frame("binary", 9, 0).iloc[:0], "train split has no rows"),
        (frame("binary", 9, 0).assign(**{LABEL: 2}), "9 labels of .* impossible, the first is"),
    ],
)
def test_a_damaged_split_is_refused(table: pd.DataFrame, message: str) -> None:
    with pytest.raises(DataError, match=message):
        examples(table, features("binary"), "train")


def test_a_missing_number_to_predict_is_refused() -> None:
    table = frame("regression", 9, 0).assign(**{LABEL: np.nan})
    with pytest.raises(DataError, match="9 labels"):
        examples(table, features("regression"), "validation")


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_one_class_alone_is_refused(task: str) -> None:
    rows = examples(frame(task, 9, 0).assign(**{LABEL: 1}), features(task), "train")
    with pytest.raises(DataError, match="all 9 training rows are of the class"):
        require_classes(rows, LABELS[task])


THREE = Label(column="y", task="multiclass", classes=("a", "b", "c"))


@given(st.lists(st.integers(0, 2), min_size=1, max_size=60))
def test_balanced_weights_give_every_class_that_has_rows_the_same_say(classes: list[int]) -> None:
    labels = np.array(classes, dtype=np.int32)
    weights = class_weights("balanced", labels, THREE)
    assert weights is not None
    says = [weights[labels == c].sum() for c in np.unique(labels)]
    np.testing.assert_allclose(says, says[0], rtol=1e-4)
    np.testing.assert_allclose(weights.mean(), 1, rtol=1e-4)


def test_weights_by_name_reach_the_rows_of_the_class() -> None:
    labels = np.array([[0.0], [1.0], [1.0]], dtype=np.float32)
    weights = class_weights({"yes": 5.0, "no": 0.5}, labels, LABELS["binary"])
    assert weights is not None
    assert weights.tolist() == [0.5, 5.0, 5.0]


def test_no_weights_cost_nothing() -> None:
    assert class_weights("none", np.zeros((3, 1)), LABELS["binary"]) is None


@pytest.mark.parametrize(
    ("choice", "label", "message"),
    [
        ({"no": 1.0}, LABELS["binary"], "no weight for yes"),
        ({"no": 1.0, "yse": 2.0}, LABELS["binary"], r"(?s)'yse'.*did you mean yes"),
        ("balanced", LABELS["regression"], "the label is a number"),
    ],
)
def test_weights_that_do_not_fit_are_refused(choice: object, label: Label, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        class_weights(choice, np.zeros((3, 1)), label)  # type: ignore[arg-type]
