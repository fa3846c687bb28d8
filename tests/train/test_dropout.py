"""Dropout by bytes: Keras's own in all but the number of random bits."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.train.dropout import ByteDropout, with_bytes

CALLS, SHAPE = 200, (40, 33)


def outputs(rate: float, calls: int = CALLS, seed: int = 3) -> np.ndarray:
    layer = ByteDropout(rate, seed=seed)
    ones = np.ones(SHAPE, np.float32)
    return np.stack([layer(ones, training=True).numpy() for _ in range(calls)])


@settings(max_examples=12, deadline=None)
@given(rate=st.floats(0.001, 0.99), seed=st.integers(0, 2**31 - 1))
def test_the_rate_holds_over_all_calls_and_the_mean_is_kept(rate: float, seed: int) -> None:
    found = outputs(rate, seed=seed)
    assert set(np.unique(found)) <= {np.float32(0), np.float32(1) / np.float32(1 - rate)}
    # Five standard errors: of the draws, and of the limit that each call rounds.
    error = 5 * (np.sqrt(rate * (1 - rate) / found.size) + 0.5 / 256 / np.sqrt(CALLS))
    assert abs((found == 0).mean() - rate) < error
    assert abs(found.mean() - 1) < error / (1 - rate)


def test_places_and_calls_are_independent_of_each_other() -> None:
    dropped = outputs(0.5) == 0
    chance = 5 * 0.5 / np.sqrt(CALLS)
    assert np.abs(dropped.mean(0) - 0.5).max() < 2 * chance
    assert np.abs(dropped.mean((1, 2)) - 0.5).max() < 0.1
    neighbours = np.corrcoef(dropped[..., :-1].ravel(), dropped[..., 1:].ravel())[0, 1]
    assert abs(neighbours) < 5 / np.sqrt(dropped.size)


def test_the_seed_decides() -> None:
    np.testing.assert_array_equal(outputs(0.3, 3), outputs(0.3, 3))
    assert not np.array_equal(outputs(0.3, 3), outputs(0.3, 3, seed=4))
    first, second, _ = outputs(0.3, 3)
    assert not np.array_equal(first, second)


def test_nothing_is_dropped_outside_training() -> None:
    ones = np.ones(SHAPE, np.float32)
    np.testing.assert_array_equal(ByteDropout(0.9)(ones), ones)


def test_xla_compiles_it() -> None:
    given = keras.Input((33,), name="x")
    trained = with_bytes(keras.Model(given, keras.layers.Dropout(0.3)(given)), xla=True)
    compiled = tf.function(lambda rows: trained(rows, training=True), jit_compile=True)
    found = np.stack([compiled(np.ones(SHAPE, np.float32)).numpy() for _ in range(20)])
    assert abs((found == 0).mean() - 0.3) < 5 * 0.5 / np.sqrt(found.size) + 1 / 256
    assert not np.array_equal(found[0], found[1])


@pytest.mark.parametrize(
    ("layer", "exchanged"),
    [
        (keras.layers.Dropout(0.2), True),
        (keras.layers.Dropout(0.0), False),
        (keras.layers.Dropout(0.999), False),  # beyond what a byte can tell from all
        (keras.layers.Dropout(0.2, noise_shape=(None, 1)), False),
        (keras.layers.GaussianDropout(0.2), False),
    ],
)
def test_what_is_exchanged(layer: keras.Layer, exchanged: bool) -> None:
    given = keras.Input((4,), name="x")
    core = keras.Model({"x": given}, layer(keras.layers.Dense(3)(given)))
    trained = with_bytes(core, xla=False)
    assert isinstance(trained.layers[-1], ByteDropout) == exchanged
    assert trained.layers[1] is core.layers[1]  # one set of weights


def test_the_core_keeps_keras_own(tmp_path: Path) -> None:
    given = keras.Input((4,), name="x")
    core = keras.Model(given, keras.layers.Dropout(0.2)(keras.layers.Dense(3)(given)))
    with_bytes(core, xla=False)
    core.save(tmp_path / "core.keras")
    assert type(keras.models.load_model(tmp_path / "core.keras").layers[-1]) is keras.layers.Dropout
