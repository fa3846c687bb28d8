"""Rows of several callers run as one batch.

The rules are those of TensorFlow's `SharedBatchScheduler`, as the real server's batching session
uses it. It works before TensorFlow and not inside its graph (`BatchFunction` is the same scheduler
as an op), because there every request would hold a thread and be a run of its own; for a small
model these cost more than the model.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

from pipeline.core.session import Array
from pipeline.serve.batch_queue import Batch, BatchQueues, Key, Names, Task, split
from pipeline.serve.batching import Batching
from pipeline.serve.limits import LimitedSession
from pipeline.serve.runs import Results, Run

log = logging.getLogger(__name__)


class Batches:
    """Makes and runs the batches of one loaded version, in threads of its own.

    Args:
        session: Runs them.
        batching: How they are made.
        signatures: What may be batched.
    """

    def __init__(
        self, session: LimitedSession, batching: Batching, signatures: Mapping[str, SignatureDef]
    ) -> None:
        self._session = session
        self._batching = batching
        self._queues = BatchQueues(batching)
        self._unfit: set[tuple[Names, Names]] = set()
        self._changed = threading.Condition()
        self._closing = False
        self._running = 0
        # As in the real server: a request for some of the outputs only is not batched.
        self._whole = {
            (frozenset(_tensors(signature.inputs)), frozenset(_tensors(signature.outputs)))
            for signature in signatures.values()
            if signature.inputs and signature.outputs
        }
        self._threads = [
            threading.Thread(target=self._work, name="batch", daemon=True)
            for _ in range(batching.threads)
        ]
        for thread in self._threads:
            thread.start()

    def run(self, feeds: Mapping[str, Array], fetches: Names) -> Run | None:
        """A run in a batch with other callers' rows; None where these cannot be batched.

        Raises:
            tf.errors.OpError: INVALID_ARGUMENT where the request has more rows than a batch may,
                or its inputs differ in theirs.
        """
        names = tuple(feeds)
        if (frozenset(names), frozenset(fetches)) not in self._whole:
            return None
        arrays = list(feeds.values())
        self._check_rows(arrays)
        if (names, fetches) in self._unfit or not len(arrays[0]):
            return None
        key = (names, fetches, tuple([array.shape[1:] for array in arrays]))
        if not self._queues.has_room_for(key):
            return None
        if self._may_run_at_once(len(arrays[0])):
            start, holds_thread = self._run_at_once, True
        else:
            start, holds_thread = self._add, False
        return Run(lambda *done: start(key, Task(arrays, *done)), holds_thread)

    def _may_run_at_once(self, rows: int) -> bool:
        """Takes a thread's place where one is free and nothing is waited for.

        The rows would be a batch of their own in any case; the way to another thread is saved.
        """
        batching = self._batching
        if batching.timeout_micros or rows > batching.largest_batch:
            return False
        with self._changed:
            free = self._running < batching.threads and not self._queues
            self._running += free
        return free

    def _run_at_once(self, key: Key, task: Task) -> None:
        try:
            self._run(key, [task])
        finally:
            self._leave()

    def _leave(self) -> None:
        with self._changed:
            self._running -= 1
            if self._queues:
                self._changed.notify()

    def _check_rows(self, arrays: Sequence[Array]) -> None:
        if any(array.ndim == 0 for array in arrays):
            raise _invalid("Batching Run() input tensors must have at least one dimension")
        rows = len(arrays[0])
        if any(len(array) != rows for array in arrays):
            raise _invalid("Batching Run() input tensors must have equal 0th-dimension size")
        if rows > self._batching.max_batch_size:
            raise _invalid(
                f"Task size {rows} is larger than maximum input batch size "
                f"{self._batching.max_batch_size}"
            )

    def _add(self, key: Key, task: Task) -> None:
        """Lets rows wait for their batch; refuses them where the queue is full.

        Rows for several batches come here only where large requests are split.
        """
        tasks = split(task, self._batching.largest_batch)
        with self._changed:
            more = self._queues.add(key, tasks)
            if more:
                self._changed.notify(more)
        if more is None:
            task.done(None, tf.errors.UnavailableError(None, None, _FULL))

    def _work(self) -> None:
        while True:
            with self._changed:
                while (found := self._take()) is None:
                    if self._closing:
                        return
                    self._changed.wait(self._seconds_to_next())
            key, batch = found
            self._run(key, batch.tasks)
            self._leave()

    def _take(self) -> tuple[Key, Batch] | None:
        if self._running >= self._batching.threads:
            return None
        found = self._queues.take()
        self._running += found is not None
        return found

    def _seconds_to_next(self) -> float | None:
        if self._running >= self._batching.threads:
            return None
        return self._queues.seconds_to_next()

    def _run(self, key: Key, waiting: list[Task]) -> None:
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
        size = next((size for size in self._batching.allowed_sizes if size >= rows), rows)
        if size > rows:
            arrays = [
                np.concatenate([array, np.repeat(array[:1], size - rows, axis=0)])
                for array in arrays
            ]
        results = self._session.run(dict(zip(feeds, arrays, strict=True)), fetches, deadline)
        if any(result.ndim == 0 or len(result) != size for result in results):
            log.warning("a signature's answers have no row for each row: not batched")
            self._unfit.add((feeds, fetches))
            return None
        return results if size == rows else [result[:rows] for result in results]

    def close(self) -> None:
        """Ends the threads, once what waits has been run."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()


_FULL = "The batch scheduling queue to which this task was submitted is full"
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


def _tensors(infos: Mapping[str, Any]) -> list[str]:
    return [info.name for info in infos.values()]


def _invalid(message: str) -> tf.errors.OpError:
    return tf.errors.InvalidArgumentError(None, None, message)
