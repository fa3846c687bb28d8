"""Bad input: the message counts and shows what is wrong, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import ConfigError, PipelineError
from tests.preprocess.conftest import COLUMNS, Preprocess, numbers

Failing = Callable[..., str]


def test_a_column_that_is_gone_or_renamed(failing: Failing) -> None:
    message = failing(numbers(100).rename(columns={"word": "words"}))
    assert "the table has no column 'word'" in message
    assert "was a column renamed (word to words)?" in message
    assert "no column 'label'" in failing(numbers(100).drop(columns="label"))


def test_the_split_column_is_looked_for_too(failing: Failing) -> None:
    split = {"kind": "time", "column": "year", "validation_from": 1, "test_from": 2}
    assert "no column 'year'" in failing(numbers(100), split=split)


def test_wrong_types_are_counted_and_shown(failing: Failing) -> None:
    table = numbers(100).astype({"x": object})
    table.loc[[3, 50, 60, 70], "x"] = ["3,5", "n. a.", "-", "?"]
    table["day"] = "2024-01-02"
    table.loc[8, "day"] = "2024-02-31"
    table["flag"] = "yes"
    table.loc[9, "flag"] = "perhaps"
    columns = {**COLUMNS, "day": {"kind": "datetime"}, "flag": {"kind": "boolean"}}
    message = failing(table.astype({"x": str}), columns)
    assert "breaks 3 rules in 6 of 100 rows" in message
    assert (
        "'x' is a number: not so in 4 rows (row 4: '3,5', row 51: 'n. a.', row 61: '-', ...)"
        in (message)
    )
    assert "'day' is a date" in message
    assert "row 9: '2024-02-31'" in message
    assert "'flag' is a truth value: not so in 1 rows (row 10: 'perhaps')" in message


def test_a_label_that_is_no_number(failing: Failing) -> None:
    message = failing(numbers(100), label={"column": "label", "task": "regression"})
    assert "'label' is of the kind that label and split need: not so in 100 rows" in message


def test_ranges_shares_and_words_of_the_schema(failing: Failing) -> None:
    table = numbers(100)
    table.loc[:39, "z"] = np.nan
    columns = {
        "x": {"kind": "numeric", "range": [-1, 1]},
        "z": {"kind": "numeric", "max_missing_fraction": 0.1},
        "word": {"kind": "categorical", "allowed": ["red", "green"]},
    }
    message = failing(table, columns, out_of_range="error")
    assert "'x' is at least -1: not so in" in message
    assert "'x' is at most 1: not so in" in message
    assert "'z' misses at most 0.1 of its values: not so in 40.0% missing" in message
    assert "'word' is one of red, green: not so in" in message
    assert ": 'blue'" in message


@pytest.mark.parametrize("nothing", [None, np.nan, ""])
def test_a_column_without_any_value(failing: Failing, nothing: Any) -> None:
    table = numbers(100)
    table["word"] = nothing
    message = failing(table)
    assert "'word' has a value in some row: not so in 100.0% missing" in message


def test_a_column_without_any_value_in_training_is_left_out(preprocess: Preprocess) -> None:
    table = numbers(300).assign(year=np.repeat([1, 2, 3], 100))
    table["z"] = table["z"].where(table["year"] > 1)
    split = {"kind": "time", "column": "year", "validation_from": 2, "test_from": 3}
    assert "z" not in preprocess.run(table, split=split)["train"]


def test_labels(failing: Failing) -> None:
    table = numbers(100)
    assert "all 100 rows have one class: yes" in failing(table.assign(label="yes"))
    three = table.assign(label=table["word"])
    assert "has 3 classes: blue, green, red" in failing(three, COLUMNS)
    assert "set data.label.task=multiclass" in failing(three, COLUMNS)
    positive = {"column": "label", "task": "binary", "positive": "yess"}
    assert "set data.label.positive=yes" in failing(table, label=positive)
    named = {"column": "label", "task": "binary", "classes": ["no", "maybe"]}
    assert "has classes nobody named: yes" in failing(table, label=named)
    bound = {"column": "z", "task": "binary", "threshold": 1000}
    assert "all 100 rows have one class: false (threshold 1000)" in failing(table, label=bound)
    constant = table.assign(z=4.0)
    regression = {"column": "z", "task": "regression"}
    assert "the label 'z' is 4 in all 100 rows" in failing(constant, label=regression)
    many = pd.concat([table] * 11).assign(label=[f"c{i}" for i in range(1100)])
    multiclass = {"column": "label", "task": "multiclass"}
    assert "1,100 different values" in failing(many, label=multiclass)


def test_missing_labels(failing: Failing) -> None:
    table = numbers(100)
    table.loc[[4, 9], "label"] = None
    message = failing(table, missing_label="error")
    assert "the label 'label' is missing in 2 of 100 rows (rows 5, 10)" in message
    assert "no row is left after cleaning (missing_label: 100)" in failing(table.assign(label=""))


def test_one_class_in_training_only(failing: Failing) -> None:
    table = numbers(300).assign(year=np.repeat([1, 2, 3], 100))
    table["label"] = table["label"].where(table["year"] > 1, "no")
    split = {"kind": "time", "column": "year", "validation_from": 2, "test_from": 3}
    assert "the training split has one class only" in failing(table, split=split)


def test_empty_splits(failing: Failing) -> None:
    table = numbers(90).assign(day=pd.date_range("2024-01-01", periods=90).astype(str), key="one")
    time = {"kind": "time", "column": "day"}
    message = failing(
        table, split={**time, "validation_from": "2024-03-01", "test_from": "2025-01-01"}
    )
    assert "the test split has no row" in message
    assert "day runs from 2024-01-01 to 2024-03-30" in message
    key = {"kind": "hash", "columns": ["key"], "validation_fraction": 0.2, "test_fraction": 0.2}
    assert "there are 1 keys" in failing(table, split=key)
    random = {"kind": "random", "validation_fraction": 0.01, "test_fraction": 0.01, "seed": 0}
    assert "the validation and the test split has no row" in failing(table.head(20), split=random)
    wrong = {**time, "validation_from": "2024-01-40", "test_from": "2024-03-01"}
    assert "'data.split.validation_from' has the value '2024-01-40'" in failing(table, split=wrong)


def test_a_cross_of_nothing_known(failing: Failing) -> None:
    message = failing(numbers(100), crosses={"c": {"of": ["word", "wrod"]}})
    assert "did you mean word?" in message


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_a_planted_leak_is_caught(preprocess: Preprocess, failing: Failing, task: str) -> None:
    table = numbers(2000)
    label = {"column": "label", "task": "binary"}
    table["after"] = (table["label"] == "yes") * 3.0 + np.random.default_rng(0).random(2000)
    if task == "regression":
        label = {"column": "z", "task": "regression"}
        table["after"] = table["z"] * 2.2 + 7
    columns = {**COLUMNS, "after": {"kind": "numeric"}}
    message = failing(table, columns, label=label)
    assert "a column alone predicts the label almost perfectly: 'after'" in message
    assert "preprocess.leakage=warn" in message
    preprocess.run(table, columns, label=label, leakage="warn")
    assert "after" in preprocess.artifacts.split("train").read()


def test_a_leak_in_words_is_caught(failing: Failing) -> None:
    table = numbers(2000)
    table["status"] = table["label"].map({"yes": "refunded", "no": "closed"})
    columns = {**COLUMNS, "status": {"kind": "categorical"}}
    assert "'status' (AUC 1.0000)" in failing(table, columns)


def test_a_damaged_raw_table(preprocess: Preprocess) -> None:
    preprocess.run(numbers(200))
    before = (preprocess.artifacts.processed.path / "train.parquet").read_bytes()
    path = preprocess.artifacts.raw_table.path
    path.write_bytes(path.read_bytes()[:500])
    from pipeline.core.stage import Context
    from pipeline.core.tracking import Journal
    from pipeline.preprocess import STAGE
    from tests.preprocess.conftest import LABEL_CONFIG, RANDOM, RULES

    data = {"columns": COLUMNS, "crosses": {}, "label": LABEL_CONFIG, "split": RANDOM}
    config = STAGE.configure({"data": data, "preprocess": RULES})
    context = Context(root=preprocess.root, journal=Journal(preprocess.root / "j.jsonl"))
    with pytest.raises(PipelineError, match="cannot be read"):
        STAGE.load()(config, preprocess.artifacts, context)
    path.unlink()
    with pytest.raises(PipelineError, match="does not exist"):
        STAGE.load()(config, preprocess.artifacts, context)
    assert (preprocess.artifacts.processed.path / "train.parquet").read_bytes() == before


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"x": {"kind": "numeric", "range": [3, 2]}}, "range as .low, high."),
        ({"x": {"kind": "numeric", "dense": False}}, "buckets above 0 where dense is false"),
        ({"x": {"kind": "categorical", "max_size": 0}}, "hash_buckets above 0"),
        ({"x": {"kind": "boolean", "true_values": ["Ja"]}}, "in lower case"),
        ({"x": {"kind": "boolean", "true_values": ["no"]}}, "each word once"),
    ],
)
def test_column_configs_that_contradict_themselves(
    preprocess: Preprocess, columns: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        preprocess.run(numbers(10), columns)


@pytest.mark.parametrize(
    ("split", "said"),
    [
        (
            {"kind": "random", "validation_fraction": 0.5, "test_fraction": 0.5, "seed": 0},
            "validation_fraction . test_fraction below 1",
        ),
        (
            {"kind": "time", "column": "x", "validation_from": "2024", "test_from": 3},
            "both dates, or both numbers",
        ),
        (
            {"kind": "time", "column": "x", "validation_from": 4, "test_from": 3},
            "validation_from earlier than test_from",
        ),
    ],
)
def test_split_configs_that_contradict_themselves(
    preprocess: Preprocess, split: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        preprocess.run(numbers(10), split=split)


def test_no_feature_left(failing: Failing) -> None:
    table = numbers(100).assign(same="x", customer=range(100))
    columns = {"same": {"kind": "categorical"}, "customer": {"kind": "id"}}
    message = failing(table, columns)
    assert "no column is left to learn from" in message
