"""Resuming: what a killed or interrupted training leaves, and the next one takes up.

A checkpoint is one file of arrays outside the stage's outputs, which DVC removes before a stage
runs. Its folder is named by everything that decides the weights, so another config, table or code
never finds it. The stream of batches starts anywhere, and the states of the random generators are
saved too, so a resumed training ends with the very bits of an uninterrupted one.

All replicas hold the same state, so the chief alone saves, and every worker restores what it saved.
"""

from __future__ import annotations

import json
import shutil
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pipeline.core.artifacts import STATE
from pipeline.core.console import say
from pipeline.core.errors import PipelineError
from pipeline.core.publishing import publish_file
from pipeline.train.config import CheckpointConfig
from pipeline.train.trainer import Trainer
from pipeline.train.watch import BestWeights, EpochWatch

KEPT_TRAININGS = 3
"""Unfinished trainings that are remembered, the last ones."""

LARGEST_SHARE = 0.02
"""Of the time, that checkpoints by time may take: large ones are written less often."""

_FOLDER = f"{STATE}/checkpoints/train"
_DAMAGED = (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError, OSError)


class Checkpoints:
    """The saved states of one training.

    Args:
        root: The project.
        identity: Of the training (see `identity`).
        config: When to save, and how many to keep.
    """

    def __init__(self, root: Path, identity: str, config: CheckpointConfig) -> None:
        self.folder = root / _FOLDER / identity[:16]
        self.config = config

    def paths(self) -> list[Path]:
        """The files, the last state first."""
        return sorted(self.folder.glob("step-*.npz"), reverse=True)

    def write(self, step: int, arrays: dict[str, Any]) -> None:
        """Publishes a state and forgets the oldest ones."""
        with publish_file(self.folder / f"step-{step:012}.npz") as aside, aside.open("wb") as file:
            np.savez(file, **arrays)
        for path in self.paths()[self.config.keep :]:
            path.unlink(missing_ok=True)
        others = sorted(self.folder.parent.iterdir(), key=lambda folder: folder.stat().st_mtime)
        for folder in others[:-KEPT_TRAININGS]:
            shutil.rmtree(folder, ignore_errors=True)

    def read(self) -> dict[str, Any] | None:
        """The last state that is whole; None where there is none."""
        for path in self.paths():
            try:
                with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
                    arrays: dict[str, Any] = dict(saved)  # zip checks each array's CRC-32
                    arrays["told"] = json.loads(str(arrays["told"]))
            except _DAMAGED as error:
                say(f"checkpoint {path.name} is damaged ({error}); taking the one before it")
            else:
                return arrays
        return None

    def remove(self) -> None:
        """Forgets the training: its result is published."""
        shutil.rmtree(self.folder, ignore_errors=True)


class Saver(keras.callbacks.Callback):  # type: ignore[misc]
    """Restores the state of a training before `fit`, and saves it while it runs.

    Args:
        checkpoints: Where.
        epochs: The history, restored and saved.
        best: The best weights, restored and saved.

    Attributes:
        epochs_done: Whole epochs that were restored.
        seconds_before: Of training, in earlier processes.
    """

    def __init__(self, checkpoints: Checkpoints, epochs: EpochWatch, best: BestWeights) -> None:
        super().__init__()
        self.checkpoints = checkpoints
        self.epochs = epochs
        self.best = best
        self.epochs_done = 0
        self.seconds_before = 0.0
        self.saved_at = time.monotonic()
        self.saved_step = 0
        self.cost_seconds = 0.0
        self._mean_loss: list[Any] = []

    def restore(self, trainer: Trainer) -> None:
        """Takes up the last state where there is one."""
        arrays = self.checkpoints.read()
        if arrays is None:
            return
        told = arrays["told"]
        for i, variable in enumerate(_variables(trainer)):
            variable.assign(arrays[f"variable_{i}"])
        self._mean_loss = _numbered(arrays, "mean_loss_")
        self.best.best_weights = _numbered(arrays, "best_")
        self.best.best_epoch, self.best.best_score = told["best_epoch"], told["best_score"]
        self.best.last_epoch = len(told["history"]) - 1
        self.epochs.rows = told["history"]
        self.epochs_done, trainer.calls_done = len(told["history"]), told["calls"]
        self.seconds_before = told["seconds"]
        self.saved_step = trainer.optimizer_steps()
        if trainer.team.is_chief:
            say(
                f"going on from step {self.saved_step:,}: {self.epochs_done} epochs and"
                f" {told['calls'] * trainer.steps_per_call:,} steps are done"
            )

    def on_train_begin(self, logs: Any = None) -> None:
        """Starts the clock."""
        del logs
        self.saved_at = time.monotonic()
        self._skipped = self.model.calls_done

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Puts the epoch's mean loss back, which Keras has just set to 0."""
        del epoch, logs
        for variable, value in zip(self.model.mean_loss.variables, self._mean_loss, strict=False):
            variable.assign(value)
        self._mean_loss = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Saves where it is due, or where a replica wishes to stop, which then all do."""
        if self._skipped:
            self._skipped -= 1
            return
        stop = logs["stops"] > 0
        if stop or self._due():
            self._save(calls=(batch + 1) // self.model.steps_per_call, stop=stop)
        if stop:
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Saves where it is due; runs last, with the epoch in the history and compared."""
        del epoch, logs
        # A training that has just decided to stop would forget that it has.
        if self._due() and not self.model.stop_training:
            self._save(calls=0)

    def _due(self) -> bool:
        config = self.checkpoints.config
        steps = self.model.optimizer_steps() - self.saved_step
        if config.every_steps and steps >= config.every_steps:
            return True
        elapsed = time.monotonic() - self.saved_at
        seconds = config.every_seconds
        return seconds is not None and elapsed >= max(seconds, self.cost_seconds / LARGEST_SHARE)

    def _save(self, calls: int, *, stop: bool = False) -> None:
        begun = time.monotonic()
        self.saved_step = self.model.optimizer_steps()
        if self.model.team.is_chief:
            try:
                self.checkpoints.write(self.saved_step, self.state(calls))
            except OSError as error:
                say(
                    f"no checkpoint of step {self.saved_step:,} ({error}); training goes on and"
                    " would be resumed from the one before: free some space"
                )
            else:
                if stop:
                    say(f"asked to stop: saved step {self.saved_step:,}, a rerun goes on from it")
        self.saved_at = time.monotonic()
        self.cost_seconds = self.saved_at - begun

    def state(self, calls: int) -> dict[str, Any]:
        """All that a checkpoint holds, `calls` into the running epoch."""
        told = {
            "history": self.epochs.rows,
            "calls": calls,
            "seconds": self.seconds_before + self.epochs.elapsed(),
            "best_epoch": self.best.best_epoch,
            "best_score": self.best.best_score,
        }
        groups = {
            "variable": [variable.numpy() for variable in _variables(self.model)],
            "mean_loss": [variable.numpy() for variable in self.model.mean_loss.variables],
            "best": self.best.best_weights,
        }
        arrays: dict[str, Any] = {"told": np.array(json.dumps(told))}
        for group, values in groups.items():
            for i, value in enumerate(values):
                arrays[f"{group}_{i}"] = np.asarray(value)
        return arrays


def _numbered(arrays: dict[str, Any], prefix: str) -> list[Any]:
    count = sum(name.startswith(prefix) for name in arrays)
    return [arrays[f"{prefix}{i}"] for i in range(count)]


def _variables(trainer: Trainer) -> Iterator[Any]:
    """Weights, states of random generators, and the optimiser's, in a fixed order."""
    yield from trainer.variables
    yield from trainer.optimizer.variables


def require_same_start(trainer: Trainer) -> None:
    """Refuses workers that would start from different weights.

    Raises:
        PipelineError: They do; names those that differ from the chief.
    """
    total = sum(float(weight.sum(dtype=np.float64)) for weight in trainer.get_weights())
    mine = np.array([[trainer.optimizer_steps(), total]], np.float64)
    everyone = trainer.team.gather(mine)
    others = [i for i, found in enumerate(everyone) if not np.array_equal(found, everyone[0])]
    if others:
        raise PipelineError(
            f"worker {', '.join(map(str, others))} would start at step"
            f" {everyone[others[0]][0]:.0f}, the chief at step {everyone[0][0]:.0f}, or from other"
            " weights",
            expected="the same checkpoints for every worker",
            remedy=f"put {_FOLDER} on a disk that all workers share, or remove it everywhere",
        )
