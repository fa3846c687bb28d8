"""Ctrl-C and SIGTERM while training: the state is saved before the process leaves."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import tensorflow as tf

from pipeline.train.trainer import Trainer

_ASKING = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stopping_at_signals(trainer: Trainer) -> Iterator[None]:
    """Within the block, a signal makes all replicas stop together after their next call.

    A second SIGINT interrupts at once. TensorFlow's own handler of SIGTERM, which under several
    workers does nothing, is replaced for the time of the block.
    """
    if threading.current_thread() is not threading.main_thread():  # Python allows no handlers
        yield
        return

    def ask(number: int, frame: FrameType | None) -> None:
        del number, frame
        # Signals come at any time, also while TensorFlow traces a function: there an assignment
        # would become a part of that function.
        with tf.init_scope():
            if trainer.wishes_to_stop.numpy():
                raise KeyboardInterrupt
            trainer.wishes_to_stop.assign(1.0)

    before = {number: signal.signal(number, ask) for number in _ASKING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
