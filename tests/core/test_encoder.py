"""The graph's road gives what the pandas road gives, row by row, value by value."""

from __future__ import annotations

import farmhash
import hypothesis
import hypothesis.strategies as st
import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from pipeline.core import dates
from pipeline.core.encoder import FeatureEncoder
from pipeline.core.encoder_dates import part_indices
from pipeline.core.encoding import encode
from pipeline.core.features import (
    DATE_PART_PERIODS,
    CategoricalFeature,
    Column,
    FeatureSet,
    GeoFeature,
    Label,
    NumericFeature,
)
from pipeline.core.model import signature, tensors
from tests.core.feature_examples import (
    COLUMNS,
    NO_DATES,
    date_words,
    everything,
    feature_sets,
    rows,
    tables,
    words,
)

PARTS = tuple(DATE_PART_PERIODS)


def assert_same(frame: pd.DataFrame, features: FeatureSet, answer: dict[str, tf.Tensor]) -> None:
    """Indices equal; dense within 1e-6, to the last bit without logarithm, tf_idf and sines."""
    expected = encode(frame, features)
    np.testing.assert_array_equal(answer["indices"].numpy(), expected.indices)
    logs = any(getattr(f, "log", False) for f in features.features)
    logs |= any(getattr(f, "weighting", "") == "tf_idf" for f in features.features)
    logs |= any(isinstance(f, GeoFeature) for f in features.features)
    # Below 1e-37 a float32 is subnormal, and TensorFlow says 0.
    tolerance = {"rtol": 1e-6, "atol": 1e-9} if logs else {"rtol": 0, "atol": 1e-37}
    np.testing.assert_allclose(answer["dense"].numpy(), expected.dense, **tolerance)
    assert answer["dense"].dtype == tf.float32
    assert answer["indices"].dtype == tf.int32


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(feature_sets(), tables())
def test_any_features_of_any_rows(features: FeatureSet, frame: pd.DataFrame) -> None:
    raw = tensors(frame, features)
    layer = FeatureEncoder(features)
    assert_same(frame, features, layer(raw))
    again = FeatureEncoder.from_config(layer.get_config())
    assert_same(frame, features, again(raw))


@pytest.fixture(scope="module")
def graph() -> tf.types.experimental.PolymorphicFunction:
    layer = FeatureEncoder(everything)
    return tf.function(layer, input_signature=[signature(everything)])


@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(tables())
def test_every_kind_of_feature_in_one_graph(graph, frame: pd.DataFrame) -> None:
    assert_same(frame, everything, graph(tensors(frame, everything)))


def test_many_plausible_rows(graph) -> None:
    frame = rows(20_000)
    assert_same(frame, everything, graph(tensors(frame, everything)))


def test_the_graph_has_core_ops_only(graph) -> None:
    operations = {op.type for op in graph.get_concrete_function().graph.get_operations()}
    assert not {name for name in operations if ">" in name or name == "PyFunc"}


def test_one_row_costs_few_ops() -> None:
    """Forty numbers cost as many ops as four, but for the stacking."""
    counts = []
    for count in (4, 40):
        names = [f"x{i}" for i in range(count)]
        features = FeatureSet(
            columns=tuple(Column(name=name, dtype="float64") for name in names),
            label=Label(column="y", task="regression"),
            features=tuple(
                NumericFeature(name=name, column=name, indicator=True, log=bool(i % 2))
                for i, name in enumerate(names)
            ),
            rows={},
        )
        layer = FeatureEncoder(features)
        made = tf.function(lambda raw, layer=layer: layer(raw))
        operations = made.get_concrete_function(signature(features)).graph.get_operations()
        counts.append(sum(op.type not in {"Const", "Placeholder"} for op in operations))
    assert counts[0] == counts[1]


def test_symbolic_outputs_are_declared_as_they_come() -> None:
    layer = FeatureEncoder(everything)
    inputs = {c.name: keras.KerasTensor((None,), c.dtype) for c in COLUMNS}
    declared = layer(inputs)
    made = layer(tensors(rows(3), everything))
    for name in ("dense", "indices"):
        assert declared[name].shape == (None, made[name].shape[1])
        assert declared[name].dtype == made[name].dtype.name


def test_a_set_without_dense_or_without_indices() -> None:
    frame = rows(3)
    for kept in (CategoricalFeature, NumericFeature):
        features = tuple(
            f for f in everything.features if isinstance(f, kept) and not f.name.endswith("bucket")
        )
        label = Label(column="y", task="regression")
        some = FeatureSet(columns=COLUMNS, label=label, features=features, rows={})
        assert_same(frame, some, FeatureEncoder(some)(tensors(frame, some)))


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(st.lists(date_words(), min_size=1, max_size=20))
def test_dates_are_read_alike(texts: list[str]) -> None:
    in_graph = part_indices(tf.constant(texts), PARTS).numpy()
    np.testing.assert_array_equal(in_graph, dates.part_indices(texts, PARTS))


def test_every_day_of_four_centuries() -> None:
    days = pd.date_range("1799-12-30", "2201-01-02").strftime("%Y-%m-%d").tolist()
    in_graph = part_indices(tf.constant(days), PARTS).numpy()
    assert in_graph.all()
    np.testing.assert_array_equal(in_graph, dates.part_indices(days, PARTS))


def test_bytes_that_are_no_text_do_not_stop_the_graph() -> None:
    texts = tf.constant(
        [b"\xff\xfe2013-01-01", b"2013-01-01", b"\xe9" * 16, *map(str.encode, NO_DATES)]
    )
    found = part_indices(texts, ("month",)).numpy()[:, 0]
    assert found[:2].tolist() == [0, 1]
    assert not found[2:].any()


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(st.lists(words(), min_size=1), st.integers(1, 2**40))
def test_farmhash_is_the_hash_of_tensorflow(texts: list[str], buckets: int) -> None:
    in_graph = tf.strings.to_hash_bucket_fast(texts, buckets).numpy().tolist()
    assert in_graph == [farmhash.Fingerprint64(text.encode()) % buckets for text in texts]


def test_the_layer_trains_nothing() -> None:
    layer = FeatureEncoder(everything)
    assert layer.weights == []
    assert not layer.trainable
