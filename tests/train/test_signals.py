"""Signals that ask a training to stop, at awkward moments."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace
from typing import Any

import pytest
import tensorflow as tf

from pipeline.train.signals import stopping_at_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_a_function_is_traced_is_a_wish_of_its_own(number: signal.Signals) -> None:
    trainer: Any = SimpleNamespace(wishes_to_stop=tf.Variable(0.0, trainable=False))

    @tf.function
    def traced() -> tf.Tensor:
        os.kill(os.getpid(), number)
        return tf.constant(1.0)

    with stopping_at_signals(trainer):
        traced()
        assert trainer.wishes_to_stop.numpy() == 1.0
        trainer.wishes_to_stop.assign(0.0)
        traced()
        assert trainer.wishes_to_stop.numpy() == 0.0


def test_a_second_signal_interrupts_at_once() -> None:
    trainer: Any = SimpleNamespace(wishes_to_stop=tf.Variable(0.0, trainable=False))
    with stopping_at_signals(trainer):
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
