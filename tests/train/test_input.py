"""The endless stream: every row equally often, in an order that the seed alone decides."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.encoding import Encoded
from pipeline.train.examples import Examples
from pipeline.train.input import InMemory, endless


def numbered(rows: int, *, weighted: bool = False) -> Examples:
    """Row i carries the number i in each of its arrays."""
    numbers = np.arange(rows)
    dense = numbers.astype(np.float32).reshape(-1, 1)
    indices = np.stack([numbers, numbers], axis=1).astype(np.int32)
    weights = numbers.astype(np.float32) if weighted else None
    return Examples(Encoded(dense, indices), dense.copy(), weights)


def taken(rows: int, batch: int, batches: int, seed: int = 7) -> list[np.ndarray]:
    stream = endless(InMemory(numbered(rows)), batch, seed).take(batches)
    return [inputs["indices"][:, 0].numpy() for inputs, _ in stream]


@settings(max_examples=6, deadline=None)
@given(rows=st.integers(1, 40), data=st.data(), epochs=st.integers(1, 2))
def test_each_pass_sees_every_row_once(rows: int, data: st.DataObject, epochs: int) -> None:
    batch = data.draw(st.integers(1, rows))
    batches = taken(rows, batch, -(-rows * epochs // batch))
    assert {len(each) for each in batches} == {batch}
    seen = np.concatenate(batches)
    for epoch in range(epochs):
        assert sorted(seen[epoch * rows : (epoch + 1) * rows]) == list(range(rows))


def test_the_seed_decides_the_order() -> None:
    one, again, other = taken(40, 7, 6), taken(40, 7, 6), taken(40, 7, 6, seed=8)
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_passes_differ_from_one_another() -> None:
    first, second = itertools.islice(taken(40, 40, 2), 2)
    assert not np.array_equal(first, second)


def test_a_row_stays_together() -> None:
    for inputs, labels, weights in endless(InMemory(numbered(30, weighted=True)), 8, seed=1).take(
        5
    ):
        expected = inputs["indices"][:, 0].numpy()
        np.testing.assert_array_equal(inputs["indices"][:, 1], expected)
        np.testing.assert_array_equal(inputs["dense"][:, 0], expected)
        np.testing.assert_array_equal(labels[:, 0], expected)
        np.testing.assert_array_equal(weights, expected)


def test_a_stream_can_begin_anywhere() -> None:
    whole = taken(10, 3, 8)
    late = endless(InMemory(numbered(10)), 3, 7, first_batch=5).take(3)
    for expected, (inputs, _) in zip(whole[5:], late, strict=True):
        np.testing.assert_array_equal(inputs["indices"][:, 0], expected)
