"""Guesses about single columns and labels: the kinds of tables people really have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import DataError
from pipeline.core.schema import build
from pipeline.preprocess.config import ColumnConfig, LabelConfig
from pipeline.preprocess.raw_values import typed_values
from pipeline.runner.init_columns import guess_column
from pipeline.runner.init_guess import Guess
from pipeline.runner.init_label import guess_label, random_split, time_split

ROWS = 400
RANDOM = np.random.default_rng(0)


def cycle(*values: object) -> list[object]:
    return [values[i % len(values)] for i in range(ROWS)]


def dates(pattern: str) -> list[str]:
    moments = pd.Timestamp("2023-01-31") + pd.to_timedelta(np.arange(ROWS), "D")
    return moments.strftime(pattern).tolist()


def guessed(values: object, name: str = "x", **settings: Any) -> Guess:
    series = values if isinstance(values, pd.Series) else pd.Series(values, name=name)
    return guess_column(name, series, **({"text_file": True} | settings))


@pytest.mark.parametrize(
    ("name", "values", "kind", "options"),
    [
        ("height", RANDOM.normal(170, 10, ROWS), "numeric", {}),
        ("pay", np.exp(RANDOM.normal(10, 2, ROWS)), "numeric", {"log": True}),
        ("text", RANDOM.integers(0, 400, ROWS).astype(str).tolist(), "numeric", {}),
        ("blank", [" " if i % 3 == 0 else str(i % 90) for i in range(ROWS)], "numeric", {}),
        ("sparse", [None if i % 3 == 0 else i / 7 for i in range(ROWS)], "numeric", {}),
        ("n_children", cycle(0, 1, 2, 3, 4), "categorical", {"encoding": "one_hot"}),
        ("num_children", cycle(0, 1, 2, 3, 4), "numeric", {}),
        ("store_id", cycle(*range(1001, 1181)), "categorical", {"min_count": 2}),
        ("distance", cycle(*range(1001, 1181)), "numeric", {}),
        ("hour", cycle(*range(24)), "categorical", {}),
        ("year", cycle(*range(1990, 2014)), "numeric", {}),
        ("flag", cycle(0, 1), "boolean", {}),
        ("flag", cycle("yes", "no"), "boolean", {}),
        ("flag", cycle("Yes", "no", None, "n/a"), "boolean", {}),
        ("flag", cycle("TRUE", "false"), "boolean", {}),
        ("flag", pd.Series(cycle(True, False)), "boolean", {}),
        ("word", cycle("a", "b"), "categorical", {"encoding": "one_hot"}),
        ("ort", cycle("Köln", "Zürich", "東京", "x" * 50), "categorical", {"encoding": "one_hot"}),
        ("same", [None if i % 2 else "x" for i in range(ROWS)], "categorical", None),
        ("day", dates("%Y-%m-%d"), "datetime", {"parts": ["month", "day_of_week"]}),
        (
            "at",
            dates("%Y-%m-%dT05:30:00Z"),
            "datetime",
            {"parts": ["month", "day_of_week", "hour"]},
        ),
        (
            "tag",
            dates("%d.%m.%Y"),
            "datetime",
            {"format": "%d.%m.%Y", "parts": ["month", "day_of_week"]},
        ),
        (
            "us",
            dates("%m/%d/%Y %I:30 %p"),
            "datetime",
            {"format": "%m/%d/%Y %I:%M %p", "parts": ["month", "day_of_week", "hour"]},
        ),
        (
            "long",
            dates("%d %B %Y"),
            "datetime",
            {"format": "%d %B %Y", "parts": ["month", "day_of_week"]},
        ),
        ("moment", pd.Series(pd.to_datetime(dates("%Y-%m-%d"))), "datetime", None),
        ("uuid", [f"{i:032x}" for i in range(ROWS)], "id", {}),
        ("row", list(range(ROWS)), "id", {}),
        ("user_id", RANDOM.permutation(10**6)[:ROWS].tolist(), "id", {}),
        ("mass", RANDOM.permutation(10**6)[:ROWS].tolist(), "numeric", {}),
        ("const", [7] * ROWS, None, {}),
        ("empty", [None] * ROWS, None, {}),
        ("note", [f"this is what the customer {i} said" for i in range(ROWS)], None, {}),
        ("price", [f"$ {i}.50" for i in range(ROWS)], None, {}),
        ("nested", pd.Series([[1, 2]] * ROWS), None, {}),
    ],
)
def test_kinds(name: str, values: object, kind: str | None, options: dict[str, Any] | None):
    guess = guessed(values, name)
    assert guess.kind == kind
    assert options is None or dict(guess.options) == options


def test_thousands_of_words_share_buckets():
    values = [f"w{i % 3000}" for i in range(9000)]
    assert guessed(values).options == {"hash_buckets": 256}
    assert "3,000 words" in guessed(values).note


def test_missing_values_are_counted_in_the_note():
    assert "34% missing" in guessed([None if i % 3 == 0 else i / 7 for i in range(ROWS)]).note


@pytest.mark.parametrize(
    "odd", ["0000-01-01", "0000-01-01T00:00:00+02:00", "tomorrow", "9999-12-31"]
)
def test_stray_words_among_dates_count_as_missing(odd: str):
    values = [odd, *dates("%Y-%m-%d")[1:]]
    guess = guessed(values)
    assert (guess.kind, guess.stray_words) == ("datetime", (odd,))
    assert f"{odd!r} counts as missing" in guess.warning
    assert guessed(values, text_file=False).kind != "datetime", "no option would make it missing"
    assert guessed([*cycle(odd)[:300], *dates("%Y-%m-%d")[300:]]).kind != "datetime"


def test_stray_words_among_numbers_count_as_missing():
    values = ["?" if i % 9 == 0 else str(i / 4) for i in range(ROWS)]
    guess = guessed(values)
    assert (guess.kind, guess.stray_words) == ("numeric", ("?",))
    assert "'?' counts as missing" in guess.warning
    assert guessed(values, text_file=False).kind == "categorical"


@pytest.mark.parametrize("size", [1, 10_000])
def test_digits_that_are_lost_are_pointed_out(size: int):
    found = guessed([1e20 + size * i for i in range(ROWS)], "ean")
    assert "dtypes: {ean: string} keeps them all" in found.warning
    assert not guessed([1e20 + 0.5, 1e-5, float("inf")] * ROWS).warning


def test_words_that_look_like_numbers_are_pointed_out():
    assert (
        "like '0,5': write plain numbers" in guessed([f"{i % 90},5" for i in range(ROWS)]).warning
    )


def test_leading_zeros_make_a_code_that_is_read_as_text():
    guess = guessed(cycle(1067, 10115), zero_led=True)
    assert (guess.kind, guess.as_text) == ("categorical", True)
    guess = guessed(cycle("01067", "10115"), text_file=False)
    assert (guess.kind, guess.as_text) == ("categorical", False)


def test_compact_dates_are_read_as_text():
    numbers = [int(word) for word in dates("%Y%m%d")]
    guess = guessed(numbers)
    assert (guess.kind, guess.as_text, guess.options["format"]) == ("datetime", True, "%Y%m%d")
    assert guessed(numbers, text_file=False).kind == "numeric"
    assert guessed(dates("%Y%m%d"), text_file=False).kind == "datetime"


def test_days_that_could_be_months_are_pointed_out():
    early = pd.Timestamp("2023-01-01") + pd.to_timedelta(np.arange(ROWS) % 12, "D")
    assert "could be swapped" in guessed(early.strftime("%d/%m/%Y").tolist()).warning
    assert "swapped" not in guessed(dates("%d/%m/%Y")).warning


def test_a_mixture_stays_words():
    values = ["2023-01-01" if i % 2 else "soon" for i in range(ROWS)]
    assert guessed(values).kind == "categorical"


@pytest.mark.parametrize(
    ("values", "task", "options"),
    [
        (cycle("late", "on time", "on time"), "binary", {"positive": "late"}),
        (cycle("a", "a", "b"), "binary", {}),
        (cycle("no", "yes", "yes"), "binary", {}),
        (cycle(1, 0, 1), "binary", {}),
        (cycle(1.0, 2.0, 2.0, None), "binary", {"positive": "1"}),
        (pd.Series(cycle(True, False)), "binary", {}),
        (cycle("a", "b", "c"), "multiclass", {}),
        (cycle(1, 2, 3, 4, 5), "multiclass", {}),
        (RANDOM.normal(size=ROWS).tolist(), "regression", {}),
        (list(range(ROWS)), "regression", {}),
        ([str(i / 4) for i in range(ROWS)], "regression", {}),
    ],
)
def test_labels(values: object, task: str, options: dict[str, Any]):
    label = guess_label("y", pd.Series(values))
    assert label.task == task
    assert label.options == options
    build(LabelConfig, {"column": "y", "task": label.task, **label.options})


def test_the_rarer_class_is_positive():
    assert guess_label("y", pd.Series(cycle(1, 2, 2))).options == {"positive": "1"}
    assert guess_label("y", pd.Series(cycle(1, 1, 2))).options == {}


def test_an_unbalanced_label_names_the_metric_and_the_weights():
    label = guess_label("y", pd.Series(["bad"] * 20 + ["good"] * 380))
    assert label.metric == "pr_auc"
    assert "bad 5.0%" in label.notes[0]
    assert "train.class_weights=balanced" in label.notes[1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([None] * 5, "no value in any row"),
        (["a"] * 5, "only the value 'a'"),
        ([f"w{i}" for i in range(ROWS)], "400 different words in 400 rows, such as 'w0'"),
    ],
)
def test_a_label_that_teaches_nothing(values: list[object], message: str):
    with pytest.raises(DataError, match=message):
        guess_label("y", pd.Series(values))


def test_rows_that_are_dated_are_split_by_time():
    label = guess_label("y", pd.Series(cycle(0, 1)))
    dated = {"ordered": guessed(dates("%Y-%m-%d"), "ordered"), "n": guessed(cycle(1.5, 2.5))}
    split = time_split(dated, label)
    assert split == {
        "kind": "time",
        "column": "ordered",
        "validation_from": "2023-11-06",
        "test_from": "2024-01-05",
    }
    birth = {"birth_date": guessed(dates("%Y-%m-%d"), "birth_date")}
    assert time_split(birth, label) is None
    assert time_split(dated | birth, label) is None, "which of the two?"


def test_classes_that_only_come_later_are_split_at_random():
    label = guess_label("y", pd.Series(["a"] * 350 + ["b"] * 50))
    assert time_split({"day": guessed(dates("%Y-%m-%d"))}, label) is None
    assert random_split(label)["stratify"] is True
    rare = guess_label("y", pd.Series(["a"] * 396 + ["b"] * 4))
    assert random_split(rare)["stratify"] is False
    assert "only 4 rows" in rare.warnings[0]


def test_guesses_are_what_preprocess_accepts():
    """Whatever is guessed, no value counts as one of the wrong type."""
    for values in (dates("%d.%m.%Y"), cycle("yes", "NO"), cycle("1", " 2 ", ""), cycle("a", 1)):
        series = pd.Series(values, name="x")
        guess = guessed(series)
        _, wrong = typed_values(series, build(ColumnConfig, guess.keys))  # type: ignore[arg-type]
        assert not wrong.any()
