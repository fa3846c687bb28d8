"""Each flaw planted in a harmless table is found, and a harmless table raises nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.core.features import DatetimeFeature
from pipeline.core.records import LABEL
from pipeline.preprocess.profile import describe_table
from tests.preprocess.conftest import DRIFT
from tests.preprocess.profile_tables import feature_set, split, table


def findings(frame, task="binary", **options):
    return describe_table(split(frame), feature_set(frame, task, **options), (), DRIFT).findings


def found(frame, kind, column, task="binary", **options):
    """The one finding of `kind` about `column`."""
    (one,) = [f for f in findings(frame, task, **options) if (f.kind, f.column) == (kind, column)]
    return one


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_harmless_table_raises_nothing(task):
    assert findings(table(task=task), task) == ()


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_number_that_gives_the_label_away(task):
    frame = table(task=task)
    rng = np.random.default_rng(2)
    # Monotone but far from a straight line: only ranks and areas see through it.
    frame["refund"] = np.exp(frame[LABEL] / 3 + rng.normal(0, 1e-3, len(frame)))
    assert found(frame, "leakage", "refund", task).level == "warning"


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_a_word_that_gives_the_label_away(task):
    frame = table(task=task)
    frame["outcome"] = ("o" + frame[LABEL].astype("str")).astype("str")
    assert "known when predicting" in found(frame, "leakage", "outcome", task).text


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_a_gap_that_gives_the_label_away(task):
    frame = table(task=task)
    frame["closed_after"] = frame["age"].fillna(1).mask(frame[LABEL] > frame[LABEL].median())
    if task == "binary":
        frame["closed_after"] = frame["age"].fillna(1).mask(frame[LABEL] == 1)
    assert "missing says much" in found(frame, "leakage", "closed_after", task).text


def test_a_kept_column_may_know_the_label():
    frame = table()
    frame["refund"] = frame[LABEL].astype("float64")
    assert findings(frame, kept=("refund",)) == ()


def test_imbalance_and_absent_classes():
    frame = table(task="multiclass")
    frame[LABEL] = 0
    frame.loc[frame.index % 20 == 5, LABEL] = 1
    frame.loc[:3, LABEL] = 2
    texts = {f.text: f.level for f in findings(frame, "multiclass") if f.kind == "imbalance"}
    assert texts == {
        "Class 'blue' has no rows in validation and test.": "warning",
        "Class 'green' is 5.0 % of the training rows: accuracy alone will flatter; look at "
        "PR-AUC, or weight the classes.": "note",
    }


def test_copies_of_training_rows():
    frame = table()
    frame.loc[1050:1099] = frame.loc[0:49].to_numpy()
    frame = frame.astype(table().dtypes.to_dict())
    found_copies = found(frame, "copies", None)
    assert found_copies.level == "note"
    assert "of the test rows have exactly the features" in found_copies.text


def test_constant_and_nearly_constant():
    frame = table()
    frame["unit"] = pd.Series(["kg"] * len(frame), dtype="str")
    frame["rare"] = (frame.index % 200 == 0).astype("float64")
    assert found(frame, "constant", "unit").level == "warning"
    assert found(frame, "constant", "rare").level == "note"


def test_many_values_and_ids():
    frame = table(6000)
    frame["ticket"] = pd.Series([f"t{n}" for n in range(len(frame))], dtype="str")
    frame["street"] = pd.Series([f"s{n % 1500}" for n in range(len(frame))], dtype="str")
    assert found(frame, "cardinality", "ticket").level == "warning"
    assert found(frame, "cardinality", "street").level == "note"
    assert found(frame, "unseen", "ticket").text.startswith("100 % of the validation rows")


def test_mostly_and_wholly_missing():
    frame = table()
    frame["half"] = frame["visits"].where(frame.index % 5 < 2)
    frame["never"] = np.nan
    frame["silent"] = pd.Series([""] * len(frame), dtype="str")
    assert found(frame, "missing", "half").text == "Missing in 60 % of the training rows."
    assert found(frame, "missing", "never").level == "warning"
    assert found(frame, "missing", "silent").level == "warning"


def test_drift_in_numbers_words_gaps_and_label():
    frame = table()
    last = frame.index >= 1000
    frame["age"] = frame["age"] + 25 * last
    frame["city"] = frame["city"].mask(last & (frame.index % 2 == 0), "Rome")
    frame["member"] = frame["member"].astype("float64").mask(last & (frame.index % 2 == 0))
    frame[LABEL] = frame[LABEL].mask(last, 1)
    frame.loc[1000:1030, LABEL] = 0
    assert found(frame, "drift", "age").level == "warning"
    assert found(frame, "drift", "city").text.startswith("Distributed differently")
    assert "test" in found(frame, "drift", "member").text
    assert "label itself" in found(frame, "drift", None).text


def test_dates_may_drift_in_a_split_by_time():
    frame = table()
    days = pd.date_range("2024-01-01", periods=len(frame), freq="h").strftime("%Y-%m-%dT%H:%M:%SZ")
    frame["day"] = pd.Series(days, dtype="str")
    day = DatetimeFeature(name="day", column="day", parts=("hour",))
    assert findings(frame, features=(day,)) == ()


def test_few_and_no_rows():
    frame = table(120)
    kinds = [(f.kind, f.text) for f in findings(frame) if f.kind == "few_rows"]
    assert ("few_rows", "The test split has only 20 rows: its figures are rough.") in kinds
    splits = split(table())
    splits["validation"] = splits["validation"][:0]
    profile = describe_table(splits, feature_set(table()), (), DRIFT)
    assert profile.findings[0].text == "The validation split is empty."


def test_warnings_stand_before_notes():
    frame = table()
    frame["half"] = frame["visits"].where(frame.index % 5 < 2)
    frame["unit"] = pd.Series(["kg"] * len(frame), dtype="str")
    levels = [finding.level for finding in findings(frame)]
    assert levels == sorted(levels, key=["warning", "note"].index)
    assert set(levels) == {"warning", "note"}
