"""Who does the work on the parts of a table: this process, several, or a Dask cluster.

The answers come in the order of the parts whoever gives them, so that the result is the same.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Protocol, TypeVar

from pipeline.core.errors import PipelineError
from pipeline.core.processes import die_with_parent
from pipeline.preprocess.config import PreprocessConfig

T = TypeVar("T")
R = TypeVar("R")


class Workers(Protocol):
    """Does the same work on many things."""

    def map(self, work: Callable[[T], R], things: Sequence[T]) -> Iterator[R]:
        """The answers in the order of `things`."""


class Here:
    """This process, one thing after the other."""

    def map(self, work: Callable[[T], R], things: Sequence[T]) -> Iterator[R]:
        """The answers in the order of `things`."""
        return map(work, things)


class Processes:
    """Several processes of this machine.

    Args:
        pool: The processes.
    """

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def map(self, work: Callable[[T], R], things: Sequence[T]) -> Iterator[R]:
        """The answers in the order of `things`.

        Raises:
            PipelineError: A process was killed, most often for its memory.
        """
        try:
            yield from self._pool.map(work, things)
        except BrokenProcessPool:
            raise lost("a process of the stream engine") from None


def lost(who: str) -> PipelineError:
    """The error for a worker that ended before its work was done."""
    return PipelineError(
        f"{who} was ended from outside before its part was done",
        expected="memory for a batch of rows in each process",
        remedy="set preprocess.processes or preprocess.stream.batch_rows lower; see the system log",
    )


@contextmanager
def hired(rules: PreprocessConfig, parts: int, *, dask: bool) -> Iterator[Workers]:
    """As many workers as the config says, and no more than there are parts.

    Raises:
        PipelineError: Dask is wanted and not installed, or its scheduler does not answer.
    """
    count = min(rules.processes or usable_cores(), parts)
    if dask:
        from pipeline.preprocess.workers_dask import cluster

        with cluster(rules.dask.address, rules.processes or usable_cores()) as workers:
            yield workers
    elif count <= 1:
        yield Here()
    else:
        # Not forked: a copy of a process with threads may hold their locks for ever.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin)
        try:
            yield Processes(pool)
        finally:
            pool.shutdown(cancel_futures=True)


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _begin() -> None:
    die_with_parent()
    one_thread()


def one_thread() -> None:
    """Keeps a worker to one core: the others have workers of their own."""
    import pyarrow as pa

    pa.set_cpu_count(1)
