"""A training that diverged leaves the batches of its last steps, to be looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.artifacts import STATE
from pipeline.core.features import FeatureSet
from pipeline.core.publishing import publish_file
from pipeline.train.config import TrainConfig
from pipeline.train.input import Source, endless
from pipeline.train.plan import Plan
from pipeline.train.strategy import Team
from pipeline.train.watch import TrainingDivergedError

BATCHES = f"{STATE}/diverged/batches.npz"


@contextmanager
def keeping_batches(
    root: Path,
    train: Source,
    features: FeatureSet,
    *,
    options: TrainConfig,
    cut: Plan,
    team: Team,
) -> Iterator[None]:
    """Where the block diverges, saves the batches it saw last and names the file in the error.

    Which rows a batch holds depends on the seed and its number alone, so they are made again. The
    file holds the batch whose loss exploded and, before it, those that were taken in the same call:
    for `S` steps of `R` rows `step` `[S]`, counted from 0 over all epochs; `dense` `[S, R, D]`,
    `indices` `[S, R, C]`, `labels`, `weights` where rows have them, as the core sees them; and the
    names `dense_names` `[D]` and `index_names` `[C]`. Of `N` replicas the n-th has taken the n-th
    `R / N` rows of each batch.

    Raises:
        TrainingDivergedError: The block's own, with more to it.
    """
    try:
        yield
    except TrainingDivergedError as error:
        if error.steps is None:
            raise
        arrays: dict[str, Any] = _batches(
            train, options, cut, error.epoch * cut.steps_per_epoch, error.steps
        )
        arrays["dense_names"] = np.array(features.dense_names, dtype=np.str_)
        arrays["index_names"] = np.array([c.name for c in features.index_columns], dtype=np.str_)
        if team.is_chief:
            with publish_file(root / BATCHES) as aside, aside.open("wb") as file:
                np.savez(file, **arrays)
        team.gather(np.zeros([1], np.int32))  # the first worker to leave ends the job: wait here
        error.remedy += f"; its batch is the last one in {BATCHES}, {_remark(arrays, team)}"
        raise


def _batches(
    train: Source, options: TrainConfig, cut: Plan, before: int, steps: range
) -> dict[str, NDArray[Any]]:
    stream = endless(train, cut.batch_rows, options.seed, first_batch=before + steps.start)
    batches = list(stream.take(len(steps)).as_numpy_iterator())
    arrays = {
        "step": np.arange(len(steps)) + before + steps.start,
        "dense": np.stack([inputs["dense"] for inputs, *_ in batches]),
        "indices": np.stack([inputs["indices"] for inputs, *_ in batches]),
        "labels": np.stack([rest[0] for _, *rest in batches]),
    }
    if len(batches[0]) == 3:
        arrays["weights"] = np.stack([rest[1] for _, *rest in batches])
    return arrays


def _remark(arrays: dict[str, Any], team: Team) -> str:
    """What stands out in the last one. Encoded inputs are finite, whatever stood in the table."""
    dense = arrays["dense"][-1]
    if not dense.size:
        return "where all inputs are indices"
    row, column = np.unravel_index(np.abs(dense).argmax(), dense.shape)
    name, value = arrays["dense_names"][column], f"{dense[row, column]:.3g}"
    whose = f", of {team.member} {row * team.replicas // len(dense)}" if team.replicas > 1 else ""
    return f"where the largest input is {value}, '{name}' in row {row}{whose}"
