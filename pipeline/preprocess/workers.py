"""Who does the work on the parts of a table: this process, several, or a Dask cluster.

The answers come in the order of the parts whoever gives them, so that the result is the same.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import Protocol, TypeVar

import pyarrow as pa

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
    """This process and others of this machine, with a thread of this one for each.

    Args:
        threads: As many as there are processes.
        others: The other processes.
    """

    def __init__(self, threads: ThreadPoolExecutor, others: ProcessPoolExecutor) -> None:
        self._threads = threads
        self._others = others
        self._here = threading.Lock()

    def map(self, work: Callable[[T], R], things: Sequence[T]) -> Iterator[R]:
        """The answers in the order of `things`.

        Raises:
            PipelineError: A process was killed, most often for its memory.
        """
        try:
            yield from self._threads.map(partial(self._done, work), things)
        except BrokenProcessPool:
            raise lost("a process of the stream engine") from None

    def _done(self, work: Callable[[T], R], thing: T) -> R:
        if not self._here.acquire(blocking=False):
            return self._others.submit(work, thing).result()
        try:
            return work(thing)
        finally:
            self._here.release()


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
        with _processes(count) as workers:
            yield workers


@contextmanager
def _processes(count: int) -> Iterator[Processes]:
    # Not forked: a copy of a process with threads may hold their locks for ever.
    context = multiprocessing.get_context("spawn")
    others = ProcessPoolExecutor(count - 1, mp_context=context, initializer=_begin)
    threads, arrow_threads = ThreadPoolExecutor(count), pa.cpu_count()
    try:
        one_thread()
        yield Processes(threads, others)
    finally:
        threads.shutdown(cancel_futures=True)
        others.shutdown()
        pa.set_cpu_count(arrow_threads)


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _begin() -> None:
    die_with_parent()
    one_thread()


def one_thread() -> None:
    """Keeps a worker to one core: the others have workers of their own."""
    pa.set_cpu_count(1)
