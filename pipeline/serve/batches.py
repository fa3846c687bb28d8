"""Rows of several callers run as one batch.

The rules are those of TensorFlow's `SharedBatchScheduler`, as the real server's batching session
uses it. It works before TensorFlow and not inside its graph (`BatchFunction` is the same scheduler
as an op), because there every request would hold a thread and be a run of its own; for a small
model these cost more than the model.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import tensorflow as tf

from pipeline.core.session import Array
from pipeline.serve.batch_queue import Batch, BatchQueues, Key, Names, Task, split
from pipeline.serve.batch_runs import BatchRunner
from pipeline.serve.batching import Batching
from pipeline.serve.limits import LimitedSession
from pipeline.serve.runs import Run


class Batches:
    """Makes and runs the batches of one loaded version, in threads of its own.

    Args:
        session: Runs them.
        batching: How they are made.
    """

    def __init__(self, session: LimitedSession, batching: Batching) -> None:
        self._session = session
        self._batching = batching
        self._queues = BatchQueues(batching)
        self._runner = BatchRunner(session, batching.allowed_sizes)
        self._changed = threading.Condition()
        self._closing = False
        self._running = 0
        self._threads = [
            threading.Thread(target=self._work, name="batch", daemon=True)
            for _ in range(batching.threads)
        ]
        for thread in self._threads:
            thread.start()

    def run(self, feeds: Mapping[str, Array], fetches: Names) -> Run | None:
        """A run in a batch with other callers' rows; None where these cannot be batched.

        Whatever is asked is batched with what asks alike, some of the outputs as well as all.

        Raises:
            tf.errors.OpError: INVALID_ARGUMENT where the request has more rows than a batch may,
                or its inputs differ in theirs.
        """
        if not feeds:
            return None
        names, arrays = tuple(feeds), list(feeds.values())
        self._check_rows(arrays)
        if not self._runner.is_fit(names, fetches) or not len(arrays[0]):
            return None
        key = (names, fetches, tuple([array.shape[1:] for array in arrays]))
        if not self._queues.has_room_for(key):
            return None
        if self._may_run_at_once(len(arrays[0])):
            return Run(
                lambda *done: self._run_at_once(key, Task(arrays, *done)),
                holds_thread=True,
                takes_long=self._session.takes_long(fetches),
            )
        return Run(lambda *done: self._add(key, Task(arrays, *done)), holds_thread=False)

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
            self._runner.run(key, [task])
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
            waiting = self._queues.size(key)
            if more:
                self._changed.notify(more)
        if more is None:
            words = (
                f"{_FULL}; currently {waiting} batches enqueued and max_enqueued_batches is "
                f"{self._batching.max_enqueued_batches}"
            )
            task.done(None, tf.errors.UnavailableError(None, None, words))

    def _work(self) -> None:
        while True:
            with self._changed:
                while (found := self._take()) is None:
                    if self._closing:
                        return
                    self._changed.wait(self._seconds_to_next())
            key, batch = found
            self._runner.run(key, batch.tasks)
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

    def close(self) -> None:
        """Ends the threads, once what waits has been run."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()


_FULL = "The batch scheduling queue to which this task was submitted is full"


def _invalid(message: str) -> tf.errors.OpError:
    return tf.errors.InvalidArgumentError(None, None, message)
