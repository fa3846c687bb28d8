"""The whole stage on tables of every kind: what is written is what later stages rely on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.core.artifacts import read_json
from pipeline.core.encoding import encode
from pipeline.core.records import LABEL
from tests.preprocess.conftest import COLUMNS, Preprocess, numbers


def _odd_table(rows: int = 400) -> pd.DataFrame:
    """Codes, truth words, dates as text, missing values everywhere, text that is not ASCII."""
    table = numbers(rows)
    random = np.random.default_rng(1)
    day = pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(0, 300, rows), unit="D")
    return table.assign(
        code=random.choice([3, 14, 159], rows),
        city=random.choice(["Zürich", "東京", ""], rows),
        member=random.choice(["Yes", "no", None], rows),
        paid=random.choice([True, False], rows),
        day=pd.Series(day).dt.strftime("%d.%m.%Y"),
        customer=random.integers(0, 50, rows),
        x=table["x"].mask(random.random(rows) < 0.3),
    )


_ODD_COLUMNS = {
    **COLUMNS,
    "code": {"kind": "categorical"},
    "city": {"kind": "categorical"},
    "member": {"kind": "boolean"},
    "paid": {"kind": "boolean"},
    "day": {"kind": "datetime", "format": "%d.%m.%Y", "parts": ["month"]},
    "customer": {"kind": "id"},
}


def test_every_kind_of_column_is_written_as_served(preprocess: Preprocess) -> None:
    splits = preprocess.run(_odd_table(), _ODD_COLUMNS)
    train = splits["train"]
    kinds = {name: dtype.kind for name, dtype in train.dtypes.items()}
    served = {"x": "f", "z": "f", "member": "f", "paid": "b"}
    assert {name: kinds[name] for name in served} == served
    assert set(train["code"]) == {"3", "14", "159"}
    assert set(train["city"]) == {"Zürich", "東京", ""}
    assert set(train["member"].dropna()) == {0.0, 1.0}
    assert train["day"].str.fullmatch(r"\d{4}-\d\d-\d\dT00:00:00").all()
    assert train["customer"].str.isdigit().all()
    assert train[LABEL].dtype == np.int64
    features = preprocess.features
    assert features.kept == ("customer",)
    assert [column.name for column in features.columns] == list(_ODD_COLUMNS)[:-1]
    assert features.label.classes == ("no", "yes")
    assert features.rows == {name: len(frame) for name, frame in splits.items()}
    assert sum(features.class_counts.values()) == len(train)


def test_what_is_written_can_be_encoded(preprocess: Preprocess) -> None:
    splits = preprocess.run(_odd_table(), _ODD_COLUMNS, crosses={"c": {"of": ["code", "word"]}})
    features = preprocess.features
    for frame in splits.values():
        encoded = encode(frame, features)
        assert encoded.dense.shape == (len(frame), len(features.dense_names))
        assert np.isfinite(encoded.dense).all()
        assert (encoded.indices.max(axis=0) < [c.cardinality for c in features.index_columns]).all()


def test_the_profile_is_written_with_the_cleaning(preprocess: Preprocess) -> None:
    table = numbers(300)
    preprocess.run(pd.concat([table, table.head(7)]))
    folder = preprocess.artifacts.profile.path
    assert sorted(path.name for path in folder.iterdir()) == [
        "cleaning.json",
        "profile.html",
        "profile.json",
    ]
    assert preprocess.cleaned["duplicates"] == 7
    cleaning = read_json(folder / "profile.json")["cleaning"]
    assert {step["rule"]: step["rows"] for step in cleaning}["duplicates"] == 7


def test_equal_tables_give_equal_bytes_and_stay_as_they_are(preprocess: Preprocess) -> None:
    table = _odd_table()
    before = table.copy(deep=True)
    written = []
    for _ in range(2):
        preprocess.run(table, _ODD_COLUMNS)
        folders = (preprocess.artifacts.processed.path, preprocess.artifacts.profile.path)
        written.append({p.name: p.read_bytes() for f in folders for p in sorted(f.iterdir())})
    assert written[0] == written[1]
    pd.testing.assert_frame_equal(table, before)


def test_statistics_come_from_the_training_split_alone(preprocess: Preprocess) -> None:
    table = numbers(400).assign(year=np.repeat([2001, 2002, 2003, 2004], 100))
    split = {"kind": "time", "column": "year", "validation_from": 2003, "test_from": 2004}
    preprocess.run(table, split=split)
    first = preprocess.features
    later = table["year"] >= 2003
    changed = table.assign(x=table["x"].mask(later, table["x"] * 50 + 1), word="red")
    changed["word"] = table["word"].mask(later, "violet")
    preprocess.run(changed, split=split)
    assert preprocess.features == first


def test_a_truth_value_that_only_later_rows_miss_stays_usable(preprocess: Preprocess) -> None:
    table = numbers(300).assign(year=np.repeat([1, 2, 3], 100), flag=True)
    table["flag"] = (table["z"] > 0).astype(object).where(table["year"] < 3, None)
    split = {"kind": "time", "column": "year", "validation_from": 2, "test_from": 3}
    splits = preprocess.run(table, {**COLUMNS, "flag": {"kind": "boolean"}}, split=split)
    assert splits["train"]["flag"].dtype == splits["test"]["flag"].dtype == np.float64
    assert splits["test"]["flag"].isna().all()


def test_regression_and_multiclass(preprocess: Preprocess) -> None:
    table = numbers(300)
    splits = preprocess.run(table, label={"column": "z", "task": "regression"})
    assert splits["train"][LABEL].dtype == np.float64
    assert "z" not in splits["train"]
    assert preprocess.features.label.classes == ()
    assert preprocess.features.label.mean == pytest.approx(splits["train"][LABEL].mean())
    columns = {name: how for name, how in COLUMNS.items() if name != "word"}
    preprocess.run(table, columns, label={"column": "word", "task": "multiclass"})
    assert preprocess.features.label.classes == ("blue", "green", "red")


def test_useless_columns_are_left_out_with_a_warning(
    preprocess: Preprocess, capsys: pytest.CaptureFixture[str]
) -> None:
    table = numbers(300).assign(
        same="x",
        zero=0.0,
        mail=[f"{i}@example" for i in range(300)],
        row=range(1000, 1300),
        rare=["often"] + [f"w{i // 2}" for i in range(299)],
        amount=np.arange(300) * 97,
    )
    words = {name: {"kind": "categorical"} for name in ("same", "mail", "rare")}
    counts = {name: {"kind": "numeric"} for name in ("zero", "row", "amount")}
    splits = preprocess.run(
        table,
        {**COLUMNS, **words, **counts},
        crosses={"lost": {"of": ["same", "word"]}, "kept": {"of": ["word", "amount.bucket"]}}
        | {"kept": {"of": ["word", "word"]}},
    )
    assert list(splits["train"].columns) == ["x", "z", "word", "amount", LABEL]
    printed = capsys.readouterr().out
    for name, reason in {
        "same": "100.00% of the training rows have 'x'",
        "zero": "100.00% of the training rows have 0",
        "mail": "180 different words in 180 training rows",
        "row": "it numbers the rows",
        "rare": "no word occurs in 5 training rows",
        "lost": "it crosses same",
    }.items():
        assert f"'{name}' is left out: {reason}" in printed
