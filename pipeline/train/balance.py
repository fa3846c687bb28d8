"""How workers spend a step: on their own work, waiting for input, waiting for each other."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from pipeline.train.strategy import Team


@dataclass(frozen=True)
class WorkerPace:
    """One worker's steps, on average, without the first call, which pays for tracing.

    Attributes:
        rows: Of this worker in a step.
        step_seconds: A whole step, from one to the next.
        input_seconds: Of it, waiting for the next batch.
        others_seconds: Of it, adding up with the other workers, which is mostly waiting for them;
            0 in a process without others. On a GPU only what asking for it takes.
        cpu_seconds: CPU time of the process in it.
    """

    rows: int
    step_seconds: float
    input_seconds: float
    others_seconds: float
    cpu_seconds: float

    @property
    def own_seconds(self) -> float:
        """Of a step, this worker's own work."""
        return self.step_seconds - self.input_seconds - self.others_seconds

    @property
    def examples_per_second(self) -> float:
        """What this worker would reach if it never waited for the others."""
        return self.rows / (self.step_seconds - self.others_seconds)


class Pace(keras.callbacks.Callback):  # type: ignore[misc]
    """Takes the time of this worker's calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.sums = np.zeros(5)
        """Steps, then seconds: of them all, for batches, for others, of CPU."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Starts the clock of a call."""
        del batch, logs
        self.began, self.cpu_began = time.perf_counter(), time.process_time()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Adds the call up."""
        del batch
        if "steps" not in logs:  # a call that an earlier process has made
            return
        seconds, cpu = time.perf_counter() - self.began, time.process_time() - self.cpu_began
        call = np.array([logs["steps"], seconds, *self.model.told["waited"].numpy(), cpu])
        self.sums = call if self.calls <= 1 else self.sums + call
        self.calls += 1

    def of_all(self, team: Team, rows: int) -> list[WorkerPace]:
        """The pace of every worker, the chief's first; empty where nothing was left to train.

        Args:
            team: All of them; each calls this.
            rows: Of a batch, over all workers.
        """
        if not self.calls:
            return []
        everyone = team.gather(self.sums[None])
        means = everyone[:, 1:] / everyone[:, :1]
        return [WorkerPace(rows // team.workers, *map(float, mean)) for mean in means]
