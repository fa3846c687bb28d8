"""Running batches: one run for all rows, and each caller's rows alone where that does not do."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from pipeline.core.session import Array
from pipeline.serve.batch_queue import Key, Names, Task
from pipeline.serve.limits import LimitedSession
from pipeline.serve.runs import Results

log = logging.getLogger(__name__)

_MOST_UNFIT = 1000
"""A client may ask for any choice of outputs in any order."""


class BatchRunner:
    """Runs batches; may be used by several threads at once.

    Args:
        session: Runs them.
        allowed_sizes: Sizes that batches are filled up to, rising; empty: any.
    """

    def __init__(self, session: LimitedSession, allowed_sizes: Sequence[int]) -> None:
        self._session = session
        self._allowed_sizes = allowed_sizes
        self._unfit: set[tuple[Names, Names]] = set()

    def is_fit(self, feeds: Names, fetches: Names) -> bool:
        """Whether batches of these have been answered with a row for each row, so far."""
        return (feeds, fetches) not in self._unfit

    def run(self, key: Key, waiting: list[Task]) -> None:
        """Runs tasks of one key together, and gives each its answers."""
        feeds, fetches, _ = key
        now = time.monotonic()
        tasks = [task for task in waiting if task.deadline >= now]
        for late in waiting:
            if late.deadline < now:
                _deliver(late, None, tf.errors.DeadlineExceededError(None, None, _LATE))
        results = self._results(feeds, fetches, tasks) if len(tasks) > 1 else None
        begin = 0
        for task in tasks:
            end = begin + task.rows
            if results is None:
                self._run_alone(feeds, fetches, task)
            else:
                _deliver(task, [result[begin:end] for result in results], None)
            begin = end

    def _results(self, feeds: Names, fetches: Names, tasks: list[Task]) -> Results | None:
        """The answers to all rows; None where a batch cannot give them.

        An op that refuses the batch may mean one caller's row only, so that each is judged by
        its own.
        """
        arrays = [np.concatenate(parts) for parts in zip(*[t.arrays for t in tasks], strict=True)]
        try:
            return self._run_padded(feeds, fetches, arrays, max(t.deadline for t in tasks))
        except Exception:  # noqa: BLE001  told to whoever it concerns when each runs alone
            return None

    def _run_alone(self, feeds: Names, fetches: Names, task: Task) -> None:
        try:
            results = self._run_padded(feeds, fetches, task.arrays, task.deadline)
            if results is None:
                results = self._run_unbatched(feeds, fetches, task)
        except Exception as error:  # noqa: BLE001  whatever it is, the caller waits to hear of it
            _deliver(task, None, error)
        else:
            _deliver(task, results, None)

    def _run_unbatched(self, feeds: Names, fetches: Names, task: Task) -> Results:
        if task.is_part:
            raise tf.errors.FailedPreconditionError(None, None, _UNFIT)
        return self._session.run(dict(zip(feeds, task.arrays, strict=True)), fetches, task.deadline)

    def _run_padded(
        self, feeds: Names, fetches: Names, arrays: list[Array], deadline: float
    ) -> Results | None:
        """The answers to the rows, filled up to an allowed size by repeating the first.

        None where the signature does not answer with a row for each row.
        """
        rows = len(arrays[0])
        size = next((size for size in self._allowed_sizes if size >= rows), rows)
        if size > rows:
            arrays = [
                np.concatenate([array, np.repeat(array[:1], size - rows, axis=0)])
                for array in arrays
            ]
        results = self._session.run(dict(zip(feeds, arrays, strict=True)), fetches, deadline)
        if any(result.ndim == 0 or len(result) != size for result in results):
            log.warning("a signature's answers have no row for each row: not batched")
            if len(self._unfit) < _MOST_UNFIT:
                self._unfit.add((feeds, fetches))
            return None
        return results if size == rows else [result[:rows] for result in results]


_LATE = "The time limit passed while the rows waited for their batch"
_UNFIT = (
    "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of "
    "the input tensors"
)


def _deliver(task: Task, results: Results | None, error: Exception | None) -> None:
    try:
        task.done(results, error)
    except Exception:
        log.exception("an answer could not be given")
