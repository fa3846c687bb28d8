"""Bad input: the message counts and shows what is wrong, and nothing is written."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from pipeline.core.artifacts import Table
from pipeline.core.errors import ConfigError, DataError, PipelineError
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


def test_a_cross_of_nothing_known(preprocess: Preprocess) -> None:
    with pytest.raises(ConfigError, match="did you mean word"):
        preprocess.run(numbers(100), crosses={"c": {"of": ["word", "wrod"]}})


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
        ({"x": {"kind": "numeric", "range": [math.nan, math.nan]}}, "range as finite numbers"),
        ({"x": {"kind": "numeric", "clip": [None, math.inf]}}, "clip as finite numbers"),
        ({"x": {"kind": "datetime", "parts": []}}, "parts with one part at least"),
        ({"x": {"kind": "datetime", "parts": ["day", "day"]}}, "parts with .* each once"),
        ({"x": {"kind": "datetime", "format": "%Q"}}, "directives of strptime .* not '%Q'"),
        ({"x": {"kind": "datetime", "format": "dd.mm.yyyy"}}, "directives of strptime"),
        ({"x": {"kind": "datetime", "format": ""}}, "directives of strptime"),
        ({"x": {"kind": "target", "smoothing": math.inf}}, "smoothing"),
        ({"x": {"kind": "categorical", "hash_buckets": 2**31}}, r"from 0 to 1e\+09"),
    ],
)
def test_column_configs_that_contradict_themselves(
    preprocess: Preprocess, columns: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError) as error:
        preprocess.run(numbers(10), columns)
    assert re.search(said, str(error.value))


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


@pytest.mark.parametrize("engine", ["pandas", "stream"])
def test_a_value_of_ten_megabytes_is_not_shown_whole(
    preprocess: Preprocess, failing: Failing, engine: str
) -> None:
    huge = "y" * 10_000_000
    table = numbers(200).astype({"x": "str"})
    table.loc[5, "x"] = huge
    message = failing(table, engine=engine)
    assert "row 6: 'yyy" in message
    assert "(10,000,002 characters)" in message
    assert len(message) < 2_000
    words = numbers(200)
    words.loc[5, "word"] = huge
    splits = preprocess.run(words, engine=engine)
    assert sum((frame["word"] == huge).sum() for frame in splits.values()) == 1
    for name in ("profile.html", "profile.json"):
        assert (preprocess.artifacts.profile.path / name).stat().st_size < 100_000


@pytest.mark.parametrize("engine", ["pandas", "stream"])
@pytest.mark.parametrize("day", ["0000-01-01", "0001-01-01", "9999-12-31"])
def test_days_that_are_far_away(preprocess: Preprocess, engine: str, day: str) -> None:
    table = numbers(300)
    table["day"] = pd.date_range("2024-01-01", periods=300).astype(str)
    table["end"] = "9999-12-31"
    table.loc[3, "day"] = day
    columns = {
        **COLUMNS,
        "day": {"kind": "datetime", "at_most": "end"},
        "end": {"kind": "datetime"},
    }
    split = {"kind": "time", "column": "day", "validation_from": "2024-06-01"}
    splits = preprocess.run(
        table, columns, split={**split, "test_from": "2024-08-01"}, engine=engine
    )
    where = "test" if day.startswith("9") else "train"
    assert day in splits[where]["day"].tolist()


@pytest.mark.parametrize("engine", ["pandas", "stream"])
def test_moments_of_different_zones_are_split_by_time(preprocess: Preprocess, engine: str) -> None:
    table = numbers(300)
    hours = pd.date_range("2024-01-01", periods=300, freq="h").strftime("%Y-%m-%dT%H:%M:%S")
    zones = ["", "Z", "+02:00"] * 100
    table["at"] = [hour + zone for hour, zone in zip(hours, zones, strict=True)]
    split = {"kind": "time", "column": "at", "validation_from": "2024-01-06"}
    splits = preprocess.run(
        table,
        {**COLUMNS, "at": {"kind": "datetime"}},
        split={**split, "test_from": "2024-01-10T00:00:00Z"},
        engine=engine,
    )
    moments = {
        name: pd.to_datetime(frame["at"], format="ISO8601", utc=True)
        for name, frame in splits.items()
    }
    assert moments["train"].max() < pd.Timestamp("2024-01-06", tz="UTC")
    assert moments["test"].min() >= pd.Timestamp("2024-01-10", tz="UTC")
    # Two o'clock in a zone two hours ahead is midnight.
    assert "2024-01-06T00:00:00+02:00" not in splits["validation"]["at"].tolist()


def test_batches_of_which_nothing_is_left(preprocess: Preprocess) -> None:
    table = numbers(200)
    table.loc[40:80, "label"] = None
    stream = {"above_rows": 0, "batch_rows": 10}
    splits = preprocess.run(table, engine="stream", stream=stream)
    assert sum(map(len, splits.values())) == 159
    assert preprocess.cleaned["missing_label"] == 41


def test_an_empty_row_group_is_passed_over(preprocess: Preprocess) -> None:
    table, raw = numbers(200), preprocess.artifacts.raw_table
    expected = preprocess.run(table)

    def write(self: Table, frame: pd.DataFrame) -> None:
        rows = pa.Table.from_pandas(frame, preserve_index=False)
        with parquet.ParquetWriter(self.path, rows.schema) as writer:
            for part in (rows[:50], rows[:0], rows[50:], rows[:0]):
                writer.write_table(part)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Table, "write", write)
        found = preprocess.run(table, engine="stream", stream={"part_rows": 50, "batch_rows": 20})
    assert parquet.read_metadata(raw.path).num_row_groups == 4
    for name, frame in expected.items():
        pd.testing.assert_frame_equal(found[name], frame)


@pytest.mark.parametrize("engine", ["pandas", "stream"])
@pytest.mark.parametrize(("policy", "left"), [("error", 0), ("missing", 300), ("drop", 298)])
def test_mixed_types_follow_the_policy(
    preprocess: Preprocess, engine: str, policy: str, left: int
) -> None:
    table = numbers(300).astype({"x": "str"})
    table.loc[[3, 250], "x"] = ["three", "2024-01-01"]
    run = partial(preprocess.run, table, engine=engine, stream={"batch_rows": 40})
    if policy == "error":
        with pytest.raises(DataError, match=r"'x' is a number: .*row 4: 'three', row 251: '2024"):
            run()
        return
    splits = run(wrong_type=policy)
    assert sum(map(len, splits.values())) == left
    assert preprocess.cleaned["wrong_type"] == 2


@pytest.mark.parametrize("engine", ["pandas", "stream"])
def test_whole_numbers_beyond_64_bits(preprocess: Preprocess, engine: str) -> None:
    table = numbers(300).assign(order=[str(10**20 + row) for row in range(300)])
    columns = {**COLUMNS, "order": {"kind": "id", "unique": True}}
    splits = preprocess.run(table, columns, engine=engine)
    found = pd.concat([frame["order"] for frame in splits.values()])
    assert sorted(found) == sorted(table["order"]), "every digit is kept"
    as_number = {**COLUMNS, "order": {"kind": "numeric", "range": [0, 2**63]}}
    with pytest.raises(DataError, match=r"'order' is at most 9.22337e\+18: not so in 300 rows"):
        preprocess.run(table, as_number, engine=engine, out_of_range="error")


@pytest.mark.parametrize("engine", ["pandas", "stream"])
def test_long_whole_numbers_beside_missing_ones_keep_every_digit(
    preprocess: Preprocess, engine: str
) -> None:
    codes = [None if row % 7 == 0 else 2**53 + 1 + 2 * (row % 5) for row in range(300)]
    # Without the dtypes of pandas in the file, as `ingest` writes it.
    code, word = pd.array(codes, "Int64"), [f"{one or ''}" for one in codes]
    table = numbers(300).assign(code=code, key=code, far=code, key_word=word)
    columns = {
        **COLUMNS,
        "code": {"kind": "categorical"},
        "key": {"kind": "id"},
        "far": {"kind": "target"},
        "key_word": {"kind": "id"},
    }
    stream = {"batch_rows": 5, "part_rows": 40}
    splits = preprocess.run(table, columns, engine=engine, stream=stream, leakage="warn")
    assert all((frame["key"] == frame["key_word"]).all() for frame in splits.values())
    known = {str(one) for one in codes if one}
    features = {feature.name: feature for feature in preprocess.features.features}
    assert set(features["code"].vocabulary) == known
    assert set(features["far"].vocabulary) == known | {""}


@pytest.mark.parametrize("engine", ["pandas", "stream"])
def test_odd_characters_stay_in_words(preprocess: Preprocess, engine: str) -> None:
    table = numbers(300)
    odd = {"red": "re\0d", "green": "two\nlines", "blue": '"quoted", 東\u2028'}
    table["word"] = table["word"].map(odd)
    splits = preprocess.run(table, engine=engine)
    assert set(splits["train"]["word"]) == set(odd.values())
    assert set(preprocess.features.features[-1].vocabulary) == set(odd.values())


@pytest.mark.parametrize("engine", ["pandas", "stream"])
def test_a_full_disk_leaves_nothing_half_written(
    preprocess: Preprocess, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    import resource
    import signal

    table = numbers(20_000)
    raw = preprocess.artifacts.raw_table
    raw.write(table)
    write = Table.write

    def write_others(self: Table, frame: pd.DataFrame) -> None:
        if self.path != raw.path:
            write(self, frame)

    monkeypatch.setattr(Table, "write", write_others)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Writing beyond the limit fails as on a full disk, once the signal is ignored.
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            preprocess.run(table, engine=engine)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    data = preprocess.root / "data"
    assert [path.name for path in data.iterdir()] == ["raw"]
    assert not (preprocess.root / ".pipeline/stream").exists()
    preprocess.run(table, engine=engine)
