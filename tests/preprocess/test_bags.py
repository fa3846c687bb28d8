"""Texts and lists: what is fitted equals scikit-learn's, and the stage takes them as they come."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from pipeline.core.bags import bag
from pipeline.core.encoding import encode
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.features import BagFeature
from pipeline.core.schema import build
from pipeline.core.words import hashed
from pipeline.preprocess.config import ListConfig, TextConfig
from pipeline.preprocess.fit_bags import fit_bag
from pipeline.preprocess.training_rows import FrameRows
from tests.preprocess.conftest import COLUMNS, Preprocess, numbers

TEXTS = st.lists(
    st.lists(st.sampled_from(["Red", "green.", "blue!", "red", "sky-blue", "7"]), max_size=6).map(
        " ".join
    ),
    min_size=3,
    max_size=12,
)
WORD_PATTERN = r"[A-Za-z0-9]+"


def fitted(texts: list[str], **options: Any) -> BagFeature:
    how = build(TextConfig, {"kind": "text", "min_count": 1, **options})
    return fit_bag(
        FrameRows(pd.DataFrame({"x": pd.Series(texts, dtype="str")}), {"x": how}), "x", how
    )


def in_order(feature: BagFeature, names: list[str]) -> list[int]:
    return [feature.vocabulary.index(name) for name in names]


@given(TEXTS.filter(any))
@settings(max_examples=30)
def test_tf_idf_is_that_of_scikit_learn(texts: list[str]):
    feature = fitted(texts)
    vectorizer = TfidfVectorizer(token_pattern=WORD_PATTERN)
    expected = vectorizer.fit_transform(texts).toarray()
    ours = bag(pd.Series(texts, dtype="str"), feature).T
    order = in_order(feature, vectorizer.get_feature_names_out().tolist())
    np.testing.assert_allclose(ours[:, order], expected, rtol=1e-6)


@given(TEXTS.filter(any), st.integers(1, 3), st.integers(1, 4))
@settings(max_examples=30)
def test_the_vocabulary_is_that_of_scikit_learn(texts: list[str], min_count: int, most: int):
    counts = CountVectorizer(token_pattern=WORD_PATTERN, binary=True)
    rows_with = np.asarray(counts.fit_transform(texts).sum(axis=0)).ravel()
    names = counts.get_feature_names_out()
    expected = sorted(
        (name for name, count in zip(names, rows_with, strict=True) if count >= min_count),
        key=lambda name: (-rows_with[names.tolist().index(name)], name),
    )[:most]
    if not expected:
        with pytest.raises(DataError, match=f"occurs in {min_count} training rows"):
            fitted(texts, min_count=min_count, max_size=most)
        return
    assert list(fitted(texts, min_count=min_count, max_size=most).vocabulary) == expected


def test_buckets_are_weighed_by_the_rows_that_fall_into_them():
    feature = fitted(["red blue", "red", "green red"], min_count=2, hash_buckets=1)
    assert feature.vocabulary == ("red",)
    assert feature.idf == pytest.approx([1.0, np.log(4 / 3) + 1])
    assert hashed(b"anything", 1) == 0


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (TextConfig, {"kind": "text", "max_size": 0}, "hash_buckets above 0"),
        (ListConfig, {"kind": "list", "separator": "a"}, "separator"),
        (ListConfig, {"kind": "list", "separator": ", "}, "separator"),
    ],
)
def test_options_that_cannot_work_are_refused(kind: type, options: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        build(kind, options)


@pytest.mark.parametrize("engine", ["pandas", "stream"])
def test_lists_with_gaps_hold_the_words_of_those_without(preprocess: Preprocess, engine: str):
    long = 2**53 + 1
    table = numbers(400).assign(
        sizes=[[[1, 2], [], [2, None], None, [long]][row % 5] for row in range(400)],
        tags=[[["art", None], ["", " "], [None]][row % 3] for row in range(400)],
        rates=[[[0.5, 2.0], [None, 2.0]][row % 2] for row in range(400)],
    )
    lists = {name: {"kind": "list"} for name in ("sizes", "tags", "rates")}
    stream = {"batch_rows": 1, "part_rows": 50}
    splits = preprocess.run(table.head(150), {**COLUMNS, **lists}, engine=engine, stream=stream)
    assert set(splits["train"]["sizes"]) == {"1;2", "2", "", str(long)}
    words = {f.name: set(f.vocabulary) for f in preprocess.features.features if f.name in lists}
    assert words == {"sizes": {"1", "2", str(long)}, "tags": {"art"}, "rates": {"0.5", "2"}}


def test_a_word_that_the_separator_would_cut_is_told_of(failing: Callable[..., str]):
    table = numbers(300).assign(tags=[["rock;pop"] if row == 7 else ["a"] for row in range(300)])
    message = failing(table, {**COLUMNS, "tags": {"kind": "list"}})
    assert "'tags' is a list of words, none with the separator in it: not so in 1 rows" in message
    assert "row 8: array(['rock;pop']" in message


def test_the_stage_takes_texts_and_lists(preprocess: Preprocess):
    random = np.random.default_rng(0)
    table = numbers(600)
    moods = np.where(table["label"] == "yes", "good, very good", "bad")
    table["review"] = [f"{mood} number {i}" for i, mood in enumerate(moods)]
    table["tags"] = [
        list(random.choice(["news", "sport", "art"], random.integers(0, 3))) for _ in range(600)
    ]
    columns = {**COLUMNS, "review": {"kind": "text"}, "tags": {"kind": "list"}}
    splits = preprocess.run(table, columns, leakage="warn")
    features = preprocess.features
    review = next(f for f in features.features if f.name == "review")
    assert set(review.vocabulary) == {"good", "very", "bad", "number"}
    assert {"tags=news", "tags=sport", "tags=art"} <= set(features.dense_names)
    assert set(splits["train"]["tags"]) >= {"", "news", "sport"}
    encoded = encode(splits["test"], features)
    assert encoded.dense.shape == (len(splits["test"]), len(features.dense_names))
    place = features.dense_names.index("tags=news")
    has_news = splits["test"]["tags"].str.split(";").map(lambda words: "news" in words)
    np.testing.assert_array_equal(encoded.dense[:, place] == 1, has_news)

    profile = json.loads((preprocess.artifacts.profile.path / "profile.json").read_text())
    kinds = {column["name"]: column["kind"] for column in profile["columns"]}
    assert (kinds["review"], kinds["tags"]) == ("text", "text")
    assert "review" not in {
        one["column"] for one in profile["findings"] if one["kind"] != "leakage"
    }
    compared = {one["column"] for one in profile["drift"][0]["columns"]}
    assert {"review.words", "review.unknown", "tags.words"} <= compared
