"""Where the steps are computed: the one place that knows `tf.distribute`."""

from __future__ import annotations

import tensorflow as tf

from pipeline.train.config import StrategyConfig


def strategy(config: StrategyConfig) -> tf.distribute.Strategy:
    """The strategy in whose `scope()` the model is built.

    TensorFlow's default strategy is one replica on the first GPU, or on the CPU where there is
    none; unlike `OneDeviceStrategy` it adds nothing to a step.
    """
    match config.name:
        case "one_device":
            return tf.distribute.get_strategy()
