"""Resuming: what a killed or interrupted training leaves, and the next one takes up.

A checkpoint is one file of arrays outside the stage's outputs, which DVC removes before a stage
runs. Its folder is named by everything that decides the weights, so another config, table or code
never finds it. The stream of batches starts anywhere, and the states of the random generators are
saved too, so a resumed training ends with the very bits of an uninterrupted one.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pipeline.core.artifacts import STATE, Artifacts
from pipeline.core.publishing import publish_file
from pipeline.core.schema import dump
from pipeline.train import models
from pipeline.train.config import TrainStageConfig
from pipeline.train.warm_start import EarlierModel
from pipeline.train.watch import BestWeights, EpochWatch

INTERVAL_SECONDS = 20.0
"""A checkpoint is written after an epoch when the last one is older: short runs write none."""

KEPT = 3
"""Unfinished trainings that are remembered, the last ones."""

_FOLDER = f"{STATE}/checkpoints/train"


class Checkpoint:
    """The state of one training on disk.

    Args:
        folder: Where it is kept; the folders beside it are checkpoints of other trainings.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "state.npz"
        self.written_at = time.monotonic()
        self.seconds_before = 0.0

    def save(self, trainer: keras.Model, epochs: EpochWatch, best: BestWeights) -> None:
        """Writes the state after an epoch."""
        told = {
            "history": epochs.rows,
            "seconds": self.seconds_before + epochs.seconds,
            "best_epoch": best.best_epoch,
            "best_score": best.best_score,
        }
        arrays: dict[str, Any] = {"told": np.array(json.dumps(told))}
        for i, variable in enumerate(_variables(trainer)):
            arrays[f"variable_{i}"] = keras.ops.convert_to_numpy(variable)
        arrays |= {f"best_{i}": weight for i, weight in enumerate(best.best_weights)}
        with publish_file(self.path) as aside, aside.open("wb") as file:
            np.savez(file, **arrays)
        self.written_at = time.monotonic()
        self._forget_old_ones()

    def _forget_old_ones(self) -> None:
        folders = list(self.path.parent.parent.iterdir())
        folders.sort(key=lambda folder: folder.stat().st_mtime)
        for folder in folders[:-KEPT]:
            shutil.rmtree(folder, ignore_errors=True)

    def restore(self, trainer: keras.Model, epochs: EpochWatch, best: BestWeights) -> int:
        """Takes up the state where there is one; returns how many epochs are done."""
        if not self.path.exists():
            return 0
        trainer.optimizer.build(trainer.trainable_variables)
        with np.load(self.path, allow_pickle=False) as saved:
            told: dict[str, Any] = json.loads(str(saved["told"]))
            for i, variable in enumerate(_variables(trainer)):
                variable.assign(saved[f"variable_{i}"])
            best.best_weights = [
                saved[f"best_{i}"] for i in range(sum(n.startswith("best_") for n in saved.files))
            ]
        epochs.rows = told["history"]
        self.seconds_before = told["seconds"]
        best.best_epoch, best.best_score = told["best_epoch"], told["best_score"]
        best.last_epoch = len(epochs.rows) - 1
        return len(epochs.rows)

    def writer(self, epochs: EpochWatch, best: BestWeights) -> keras.callbacks.Callback:
        """The callback that saves after an epoch, when `INTERVAL_SECONDS` have passed."""
        return _Writer(self, epochs, best)

    def remove(self) -> None:
        """Forgets the training: its result is published."""
        shutil.rmtree(self.path.parent, ignore_errors=True)


class _Writer(keras.callbacks.Callback):  # type: ignore[misc]
    def __init__(self, checkpoint: Checkpoint, epochs: EpochWatch, best: BestWeights) -> None:
        super().__init__()
        self.checkpoint = checkpoint
        self.epochs = epochs
        self.best = best

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Runs last, when the epoch is in the history and compared with the best."""
        del epoch, logs
        due = time.monotonic() - self.checkpoint.written_at >= INTERVAL_SECONDS
        # A training that has just decided to stop would forget that it has.
        if due and not self.model.stop_training:
            self.checkpoint.save(self.model, self.epochs, self.best)


def _variables(trainer: keras.Model) -> Iterator[Any]:
    """Weights, states of random generators, and the optimiser's, in a fixed order."""
    yield from trainer.variables
    yield from trainer.optimizer.variables


def checkpoint(
    config: TrainStageConfig, artifacts: Artifacts, earlier: EarlierModel | None = None
) -> Checkpoint:
    """The checkpoint of this very training, begun with the weights of `earlier`."""
    digest = hashlib.sha256()
    if earlier is not None:
        digest.update(earlier.digest.encode("ascii"))
    sections = [dump(config.train), models.plain(config.model), dump(config.strategy)]
    digest.update(json.dumps(sections, sort_keys=True).encode("utf-8"))
    builder, _ = models.load(config.model)
    code = [Path(inspect.getfile(builder)), *sorted(Path(__file__).parent.glob("*.py"))]
    data = [artifacts.features.path, *(artifacts.split(s).path for s in ("train", "validation"))]
    for path in (*code, *data):
        digest.update(path.read_bytes())
    for package in ("keras", "tensorflow"):
        digest.update(importlib.metadata.version(package).encode("utf-8"))
    return Checkpoint(artifacts.root / _FOLDER / digest.hexdigest()[:16])
