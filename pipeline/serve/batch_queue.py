"""Which rows run together, and when: the rules of TensorFlow's `SharedBatchScheduler`."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.core.session import Array
from pipeline.serve.batching import Batching
from pipeline.serve.runs import Done, Results

_MOST_QUEUES = 16

Names = tuple[str, ...]
Key = tuple[Names, Names, tuple[Any, ...]]
"""What a batch feeds and fetches, and the shapes of one row. Rows of different shapes never share a
batch, so that none has to be padded and no caller can spoil another's."""


@dataclass
class Task:
    """One caller's rows, or a part of them.

    Attributes:
        arrays: One for each input, each with a row for each row.
        done: Takes the answers.
        deadline: When nobody waits for them any more, by `time.monotonic`.
        is_part: Whether they are a part of a larger request.
    """

    arrays: list[Array]
    done: Done
    deadline: float
    is_part: bool = False

    @property
    def rows(self) -> int:
        """How many rows."""
        return len(self.arrays[0])


@dataclass
class Batch:
    """Rows that run together."""

    tasks: list[Task] = field(default_factory=list)
    rows: int = 0
    born: float = field(default_factory=time.monotonic)


class BatchQueues:
    """The batches that wait: a queue for each key in use. The caller sees to one thread at a time.

    Args:
        batching: How batches are made.
    """

    def __init__(self, batching: Batching) -> None:
        self._batching = batching
        self._queues: OrderedDict[Key, deque[Batch]] = OrderedDict()

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._queues)

    def has_room_for(self, key: Key) -> bool:
        """Whether rows of this key can wait here; there are so many queues at most."""
        return key in self._queues or len(self._queues) < _MOST_QUEUES

    def size(self, key: Key) -> int:
        """How many batches of a key wait."""
        return len(self._queues.get(key, ()))

    def add(self, key: Key, tasks: list[Task]) -> int | None:
        """Puts tasks into the newest batch, or into new ones.

        Returns:
            How many batches there are more to look at; None where the queue is full, and nothing
            was put into it.
        """
        most = self._batching.largest_batch
        queue = self._queues.get(key, deque())
        fits = bool(queue) and queue[-1].rows + tasks[0].rows <= most
        new = len(tasks) - fits
        # An idle queue always has room for one batch: the scheduler's is never without one.
        if new > max(self._batching.max_enqueued_batches, 1) - len(queue):
            return None
        self._queues[key] = queue
        for task in tasks:
            if not queue or queue[-1].rows + task.rows > most:
                queue.append(Batch())
            queue[-1].tasks.append(task)
            queue[-1].rows += task.rows
        return max(new, queue[-1].rows == most)

    def take(self) -> tuple[Key, Batch] | None:
        """The next batch that is full or has waited long enough; queues take turns."""
        for key, queue in self._queues.items():
            if len(queue) > 1 or self._seconds_left(queue[0]) <= 0:
                batch = queue.popleft()
                if queue:
                    self._queues.move_to_end(key)
                else:
                    del self._queues[key]
                return key, batch
        return None

    def seconds_to_next(self) -> float | None:
        """How long until `take` gives one, if nothing is added; None: never."""
        waiting = [self._seconds_left(queue[0]) for queue in self._queues.values()]
        return max(min(waiting), 0) if waiting else None

    def _seconds_left(self, batch: Batch) -> float:
        if batch.rows >= self._batching.largest_batch:
            return 0
        return batch.born + self._batching.timeout_micros / 1e6 - time.monotonic()


def split(task: Task, most: int) -> list[Task]:
    """Tasks of at most so many rows, the last of which to end delivers the whole."""
    if task.rows <= most:
        return [task]
    begins = range(0, task.rows, most)
    found: list[Results | None] = [None] * len(begins)
    failed: list[BaseException] = []
    left = [len(begins)]
    lock = threading.Lock()

    def part(number: int, begin: int) -> Task:
        def done(results: Results | None, error: BaseException | None) -> None:
            with lock:
                found[number] = results
                failed.extend([error] if error else [])
                left[0] -= 1
                if left[0]:
                    return
            if failed:
                task.done(None, failed[0])
            else:
                whole = zip(*[one for one in found if one is not None], strict=True)
                task.done([np.concatenate(parts) for parts in whole], None)

        arrays = [array[begin : begin + most] for array in task.arrays]
        return Task(arrays, done, task.deadline, is_part=True)

    return [part(number, begin) for number, begin in enumerate(begins)]
