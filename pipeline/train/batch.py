"""How many rows a step has: fewer on a small table, which would else hardly be stepped through."""

from __future__ import annotations

from pipeline.train.config import TrainConfig

SMALLEST = 8
"""Rows that a batch is cut to at least: below, gradients are mostly noise."""


def batch_rows(rows: int, options: TrainConfig, shares: int = 1) -> int:
    """Rows of a step over all replicas together.

    `train.global_batch_size`, but on a table so small that an epoch would then have fewer than
    `train.min_steps_per_epoch` steps the largest power of two that gives so many, 8 at least.

    Args:
        rows: Of the training split, at least one.
        options: The section `train`.
        shares: Equal parts that a batch must have: a cut one is rounded up to as many.
    """
    wanted = min(rows, options.global_batch_size)
    enough = rows // options.min_steps_per_epoch
    if wanted <= enough:
        return wanted
    power_of_two = 1 << enough.bit_length() >> 1
    cut = max(SMALLEST, power_of_two)
    return min(wanted, -(-cut // shares) * shares)
