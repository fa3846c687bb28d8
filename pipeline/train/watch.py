"""What is watched while Keras trains: progress, divergence, epochs, the best weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import PipelineError
from pipeline.train.config import EarlyStoppingConfig
from pipeline.train.validation import GREATER_IS_BETTER

HIGHEST_LOSS = 1e6
"""A loss above this has exploded: labels are standardised, so a sane loss is around 1."""

Row = dict[str, float]
"""One epoch: epoch, learning_rate, loss, val_loss and further metrics."""


class TrainingDivergedError(PipelineError):
    """The loss is no number any more, or grows without bound.

    Attributes:
        epoch: In which it happened, from 0.
        steps: Steps of the epoch up to the one in which it happened, as far as they were made in
            the same call; None for the validation loss.
        of_all_workers: All report the same one, whichever has the rows.
    """

    of_all_workers = True
    epoch = 0
    steps: range | None = None

    def __init__(self, what: str, loss: float, where: str, rate: float) -> None:
        super().__init__(
            f"the {what} became {loss:g} {where}, at a learning rate of {rate:g}",
            expected=f"a finite loss of at most {HIGHEST_LOSS:g}",
            remedy="lower train.optimizer.learning_rate (a tenth is a good next try), set"
            " train.optimizer.clip_norm=1.0 or train.precision=float32; nothing was written",
        )


class StepWatch(keras.callbacks.Callback):  # type: ignore[misc]
    """Shows progress and stops training that has diverged.

    Args:
        advance: Of `console.progress`, in steps.
        batch_rows: Rows of a step.
    """

    def __init__(self, advance: Callable[[float, str], None], batch_rows: int) -> None:
        super().__init__()
        self.advance = advance
        self.batch_rows = batch_rows
        self.epoch = 0
        self.seen = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Starts the clock of the epoch."""
        del logs
        self.epoch, self.seen, self.started = epoch, 0, time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Runs after each call into TensorFlow, of one or more steps; `batch` is its last one."""
        if not logs.get("last_loss", 0.0) <= HIGHEST_LOSS:  # also true for NaN
            raise self._diverged(logs["last_loss"], self.seen + int(logs["steps"]) - 1)
        steps, self.seen = batch + 1 - self.seen, batch + 1
        speed = self.seen * self.batch_rows / (time.perf_counter() - self.started)
        self.advance(steps, f"epoch {self.epoch} loss {logs['loss']:.4f} {speed:,.0f} examples/s")

    def _diverged(self, loss: float, step: int) -> TrainingDivergedError:
        where = f"in step {step} of epoch {self.epoch}{self._members()}"
        error = TrainingDivergedError("loss", loss, where, learning_rate(self.model))
        error.epoch, error.steps = self.epoch, range(self.seen, step + 1)
        return error

    def _members(self) -> str:
        """Whose rows it was: of all replicas where the weights had exploded a step before."""
        team, exploded = self.model.team, np.flatnonzero(self.model.told["exploded"])
        if team.replicas == 1:
            return ""
        if len(exploded) == team.replicas:
            return f" on all {team.replicas} {team.member}s"
        return f" on {team.member} {', '.join(map(str, exploded))}"


class EpochWatch(keras.callbacks.Callback):  # type: ignore[misc]
    """Validates after each epoch and tells the row to everyone who wants it.

    Args:
        validate: Measures the weights as they are.
        tell: Called with each row in turn.

    Attributes:
        rows: The history.
        seconds: Wall time from the first step to the end of the last epoch.
        epoch_seconds: Wall time of each epoch run here, without its validation.
    """

    def __init__(
        self, validate: Callable[[], Mapping[str, float]], tell: Callable[[Row], None]
    ) -> None:
        super().__init__()
        self.validate = validate
        self.tell = tell
        self.started = time.perf_counter()
        self.rows: list[Row] = []
        self.seconds = 0.0
        self.epoch_seconds: list[float] = []
        self.epoch_started = self.started

    def on_train_begin(self, logs: Any = None) -> None:
        """Starts the clock."""
        del logs
        self.started = time.perf_counter()

    def elapsed(self) -> float:
        """Seconds since training began."""
        return time.perf_counter() - self.started

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Starts the clock of the epoch."""
        del epoch, logs
        self.epoch_started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Adds what was measured to the history, and to `logs` for other callbacks."""
        self.epoch_seconds.append(time.perf_counter() - self.epoch_started)
        measured = self.validate()
        loss = measured["val_loss"]
        if not loss <= HIGHEST_LOSS:
            where, rate = f"after epoch {epoch}", learning_rate(self.model)
            raise TrainingDivergedError("validation loss", loss, where, rate)
        logs.update(measured)
        row = {
            "epoch": epoch,
            "learning_rate": learning_rate(self.model),
            "loss": float(logs["loss"]),
        }
        self.rows.append({**row, **measured})
        self.seconds = self.elapsed()
        self.tell(self.rows[-1])


class BestWeights(keras.callbacks.Callback):  # type: ignore[misc]
    """Remembers the best epoch's weights, stops when none gets better, and restores them.

    Args:
        config: What is watched and for how long.

    Attributes:
        best_epoch: Epoch whose weights are kept, from 0.
    """

    def __init__(self, config: EarlyStoppingConfig) -> None:
        super().__init__()
        self.config = config
        self.best_epoch = 0
        self.best_score = -math.inf
        self.best_weights: list[NDArray[Any]] = []
        self.last_epoch = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Compares this epoch with the best one so far."""
        value = logs[self.config.monitor]
        score = value if self.config.monitor in GREATER_IS_BETTER else -value
        if score > self.best_score + (self.config.min_delta if self.best_weights else 0.0):
            self.best_epoch, self.best_score = epoch, score
            self.best_weights = self.model.get_weights()
        elif self.config.patience and epoch - self.best_epoch >= self.config.patience:
            self.model.stop_training = True
        self.last_epoch = epoch

    def on_train_end(self, logs: Any = None) -> None:
        """Puts the best weights back, where that is wanted."""
        del logs
        if self.config.restore_best and self.best_weights:
            self.model.set_weights(self.best_weights)
        else:
            self.best_epoch = self.last_epoch


def learning_rate(model: keras.Model) -> float:
    """The rate of the next step."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # float16 wraps it
    return float(optimizer.learning_rate)
