"""Rows of a step: cut on small tables only, and never without need."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.train.batch import SMALLEST, batch_rows
from tests.train.worlds import settings


def cut(rows: int, wanted: int, steps: int) -> int:
    changes = {"train__global_batch_size": wanted, "train__min_steps_per_epoch": steps}
    return batch_rows(rows, settings("linear", **changes).train)


@pytest.mark.parametrize(
    ("rows", "wanted", "steps", "batch"),
    [
        (206, 2048, 20, 8),  # penguins
        (206, 2048, 1, 206),
        (206, 4, 20, 4),
        (1_000, 2048, 20, 32),
        (1_000, 48, 20, 48),
        (40_000, 2048, 20, 1024),
        (50_000, 2048, 20, 2048),
        (200_000, 2048, 20, 2048),
        (5, 2048, 20, 5),
    ],
)
def test_examples(rows: int, wanted: int, steps: int, batch: int) -> None:
    assert cut(rows, wanted, steps) == batch


@given(st.integers(1, 10**7), st.integers(1, 10**5), st.integers(1, 1000))
def test_the_law(rows: int, wanted: int, steps: int) -> None:
    batch = cut(rows, wanted, steps)
    assert 1 <= batch <= min(rows, wanted)
    enough = rows // batch >= steps
    assert enough or batch <= SMALLEST
    if batch < min(rows, wanted):  # cut, and no further than a power of two forces
        assert batch & (batch - 1) == 0
        assert batch == SMALLEST or rows // (2 * batch) < steps
