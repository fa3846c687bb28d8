"""A profile of a few calls into TensorFlow, which TensorBoard's profiler opens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from pipeline.core.console import say

FIRST_CALL = 1
"""The first call traces the graph, so it is left out."""
CALLS = 5


class Profiler(keras.callbacks.Callback):  # type: ignore[misc]
    """Profiles calls 2 to 6 of the first epoch it sees, or what there is of them.

    Each call is marked as one of the profiler's steps, named `train`.

    Args:
        folder: Where the profile is written, for `tensorboard --logdir`.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.calls = 0
        self.running = False
        self.call: tf.profiler.experimental.Trace | None = None

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Starts before the second call."""
        del batch, logs
        if self.calls == FIRST_CALL:
            tf.profiler.experimental.start(str(self.folder))
            self.running = True
        if self.running:
            self.call = tf.profiler.experimental.Trace("train", step_num=self.calls, _r=1)
            self.call.__enter__()
        self.calls += 1

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Stops after the last one that is wanted."""
        del batch, logs
        self._leave_call()
        if self.calls == FIRST_CALL + CALLS:
            self._stop()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Stops in an epoch of fewer calls, before validation."""
        del epoch, logs
        self._stop()

    def on_train_end(self, logs: Any = None) -> None:
        """Stops in any case."""
        del logs
        self._stop()

    def _leave_call(self) -> None:
        if self.call:
            self.call.__exit__(None, None, None)
            self.call = None

    def _stop(self) -> None:
        self._leave_call()
        if self.running:
            self.running = False
            tf.profiler.experimental.stop()
            say(f"profile: tensorboard --logdir {self.folder}")
