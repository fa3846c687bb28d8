"""The vocabulary of features: names, cardinalities, and the file they are kept in."""

from __future__ import annotations

import json

import hypothesis
import pytest

from pipeline.core.artifacts import Artifacts
from pipeline.core.errors import ConfigError
from pipeline.core.features import FeatureSet
from pipeline.core.schema import build, dump
from tests.core.feature_examples import everything, feature_sets


def test_dense_names_follow_the_features() -> None:
    assert everything.dense_names == (
        "size",
        "when.hour.sin",
        "when.hour.cos",
        "when.day_of_year.sin",
        "when.day_of_year.cos",
        "price",
        "price.missing",
        "flag",
        "maybe",
        "maybe.missing",
        "text=red",
        "text=grün",
        "text=sky",
        "text#0",
        "text#1",
        "list=red",
        "list=a b",
        "closed",
        "place.x",
        "place.y",
        "place.z",
        "place.km.null",
        "place.km.pole",
        "place.missing",
        "mean=a",
        "mean=b",
    )


def test_index_columns_know_how_many_values_they_take() -> None:
    sizes = {column.name: column.cardinality for column in everything.index_columns}
    assert sizes == {
        "word": 1 + 3 + 1,
        "size.bucket": 4 + 2,
        "a/b": 1 + 2 + 7,
        "hashed": 1 + 50,
        "parts.month": 13,
        "parts.day": 32,
        "parts.day_of_week": 8,
        "parts.day_of_year": 367,
        "parts.hour": 25,
        "parts.minute": 61,
        "cell": len(range(129000, 133000, 3)) + 2,
        "small": 5 * 10,
        "large": 97,
        "nested": 31,
    }


def test_index_columns_carry_what_models_ask() -> None:
    columns = {column.name: column for column in everything.index_columns}
    assert columns["a/b"].encoding == "one_hot"
    assert columns["parts.day"].dimension == 2
    crossed = {name for name, column in columns.items() if column.crossed}
    assert crossed == {"small", "large", "nested"}


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(feature_sets())
def test_json_keeps_every_constant_to_the_last_bit(features: FeatureSet) -> None:
    assert build(FeatureSet, json.loads(json.dumps(dump(features)))) == features


def test_features_are_an_artifact(tmp_path) -> None:
    artifacts = Artifacts(tmp_path)
    artifacts.features.write(everything)
    assert artifacts.features.read() == everything


def test_a_kind_nobody_knows_is_refused() -> None:
    plain = dump(everything)
    plain["features"][0]["kind"] = "nummeric"
    with pytest.raises(ConfigError, match="nummeric"):
        build(FeatureSet, plain)
