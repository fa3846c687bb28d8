"""Words as categories: the same words as one by one, from the raw table to the splits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from pipeline.core.records import LABEL
from pipeline.preprocess import STAGE
from pipeline.preprocess.arrow_file import tables_file, tables_of
from pipeline.preprocess.categories import as_dictionaries, as_text, repeated_words
from pipeline.preprocess.config import CategoricalConfig
from pipeline.preprocess.raw_values import category_values, typed_values
from pipeline.preprocess.row_hash import hash_words
from tests.preprocess.conftest import LABEL_CONFIG, RANDOM, RULES

KIND = CategoricalConfig(kind="categorical")
TEXT = st.lists(st.none() | st.sampled_from(["", "a", "b ", "ü", "東" * 40, "3"]), max_size=40)
WHOLE = st.lists(st.none() | st.integers(-3, 3) | st.just(2**53 + 1), max_size=40)


def as_read(values: list[Any], dtype: str) -> list[pd.Series[Any]]:
    """A column as it may come: plain, and as categories of which one does not occur."""
    plain = pd.Series(values, dtype=dtype, name="word")
    more = pd.concat([plain, pd.Series(["unseen" if dtype == "str" else 99], dtype=dtype)])
    return [plain, more.astype("category").iloc[:-1].rename("word")]


@given(st.tuples(TEXT, st.just("str")) | st.tuples(WHOLE, st.sampled_from(["Int64", "float64"])))
def test_each_different_word_is_converted_once(case: tuple[list[Any], str]):
    words, wrong = typed_values(as_read(*case)[0], KIND)
    for values in as_read(*case):
        categories, odd = category_values(values, KIND)
        assert categories.astype("str").tolist() == pd.Series(words, dtype="str").tolist()
        np.testing.assert_array_equal(odd, wrong)
        assert not (categories.codes < 0).any(), "'' stands for missing"


@given(TEXT)
def test_hashes_of_categories_are_those_of_the_words(values: list[str | None]):
    words = pd.Series(values, dtype="str").fillna("")
    np.testing.assert_array_equal(hash_words(words.astype("category")), hash_words(words))


def test_tables_with_dictionaries_of_their_own_share_a_file(tmp_path: Path):
    words = [["a", "", "a"], [f"w{i}" for i in range(300)], ["ü"]]
    frames = [
        pd.DataFrame({"word": pd.Categorical(some), "x": np.arange(len(some))}) for some in words
    ]
    with tables_file(tmp_path / "rows.arrow") as write:
        for frame in frames:
            write(as_dictionaries(frame))
    read = [as_text(table) for table in tables_of(tmp_path / "rows.arrow")]
    assert [table["word"].to_pylist() for table in read] == words
    assert read[0].schema.field("word").type == pa.large_string()
    some = [table["x"].to_pylist() for table in tables_of(tmp_path / "rows.arrow", ["x"])]
    assert some == [list(range(len(one))) for one in words]


@pytest.mark.parametrize("rows", [0, 40])
def test_only_words_that_repeat_are_categories(tmp_path: Path, rows: int):
    number = np.arange(rows)
    table = pd.DataFrame(
        {
            "word": [f"w{i % 4}" for i in number],
            "code": number % 3,
            "rare": [f"w{i}" for i in number],
            "who": [f"w{i % 4}" for i in number],
            "note": "the same",
            "size": number % 3,
            "label": [("yes", "no")[i % 2] for i in number],
        }
    )
    table.to_parquet(tmp_path / "table.parquet", index=False)
    kinds = {"code": "categorical", "rare": "categorical", "who": "id", "note": "text"}
    columns = {"word": "target", **kinds, "size": "numeric"}
    config = STAGE.configure(
        {
            "data": {
                "columns": {name: {"kind": kind} for name, kind in columns.items()},
                "crosses": {},
                "label": LABEL_CONFIG,
                "split": RANDOM,
            },
            "preprocess": dict(RULES),
        }
    )
    with parquet.ParquetFile(tmp_path / "table.parquet") as file:
        found = repeated_words(file, config)
    assert found == ({"word", "code", LABEL} if rows else set())
