"""The learning rate for a batch of another size than the one it was chosen for."""

from __future__ import annotations

import math
from dataclasses import replace

from pipeline.train.config import ScheduleConfig, TrainStageConfig

LEAST_WARMUP_FRACTION = 0.05
"""Share of the steps in which a rate that was raised is warmed up to, at least."""


def scaled_rate(config: TrainStageConfig, batch_rows: int) -> tuple[float, ScheduleConfig]:
    """The highest learning rate, and its schedule.

    With `k` the rows of a batch, as it is taken, divided by `strategy.base_batch_size`, the rate is
    multiplied by `k` (linear) or its root (sqrt). A rate that is raised so begins with a warm-up
    (P. Goyal et al., Accurate, Large Minibatch SGD, arXiv:1706.02677).
    """
    rate, schedule = config.train.optimizer.learning_rate, config.train.schedule
    k = batch_rows / config.strategy.base_batch_size
    factor = {"none": 1.0, "linear": k, "sqrt": math.sqrt(k)}[config.strategy.learning_rate_scaling]
    if factor > 1:
        least = max(schedule.warmup_fraction, LEAST_WARMUP_FRACTION)
        schedule = replace(schedule, warmup_fraction=least)
    return rate * factor, schedule
