"""Dask workers: the parts of a table are worked on by a cluster, on this machine or on others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from pipeline.core.errors import PipelineError
from pipeline.preprocess.workers import Workers, lost, one_thread

T = TypeVar("T")
R = TypeVar("R")

_TIMEOUT_SECONDS = 30
_MALLOC = {"MALLOC_TRIM_THRESHOLD_": 1 << 27, "MALLOC_MMAP_THRESHOLD_": 1 << 25}
"""Of glibc, bytes. Dask's own setting gives back what is freed at once, and each batch of rows then
pays for its pages again: a third of a worker's time."""


class DaskWorkers:
    """The workers of a Dask cluster.

    What a lost worker was doing is done again by another one: all work reads files and writes
    files, each of which appears whole.

    Args:
        client: Connected to the scheduler.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def map(self, work: Callable[[T], R], things: Sequence[T]) -> Iterator[R]:
        """The answers in the order of `things`.

        Raises:
            PipelineError: Several workers were lost over the same part.
        """
        from distributed import KilledWorker

        # Not pure: equal arguments mean other work when files have changed.
        futures = self._client.map(work, list(things), pure=False)
        try:
            while futures:
                # An answer that was fetched is forgotten by the cluster.
                yield futures.pop(0).result()
        except KilledWorker:
            raise lost("one Dask worker after the other") from None


@contextmanager
def cluster(address: str, processes: int) -> Iterator[Workers]:
    """A cluster that is there already, or one on this machine for as long as the block runs.

    Args:
        address: Of its scheduler; empty: a new one.
        processes: Workers of a new one.

    Raises:
        PipelineError: Dask is not installed, or the scheduler does not answer.
    """
    try:
        from dask import config
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise PipelineError(
            f"preprocess.engine is dask, which is not installed ({error.name})",
            expected="the extra dask",
            remedy="run `pip install -e '.[dask]'`, or set preprocess.engine=stream",
        ) from None
    environment = {**config.get("distributed.nanny.pre-spawn-environ"), **_MALLOC}
    with config.set(
        {
            "distributed.worker.daemon": False,
            "distributed.nanny.pre-spawn-environ": environment,
        }
    ):
        if not address:
            with (
                LocalCluster(
                    n_workers=processes,
                    threads_per_worker=1,
                    host="127.0.0.1",
                    # A free port: without an address it would be 8787, whoever has it already.
                    dashboard_address="127.0.0.1:0",
                    worker_dashboard_address=None,
                ) as local,
                Client(local) as client,
            ):
                client.run(one_thread)
                yield DaskWorkers(client)
            return
        try:
            client = Client(address, timeout=_TIMEOUT_SECONDS)
        except (OSError, TimeoutError, ValueError) as error:
            raise PipelineError(
                f"no Dask scheduler answers at {address}: {error}",
                expected="a scheduler with workers that see the project folder",
                remedy="start it, or correct preprocess.dask.address",
            ) from None
        with client:
            yield DaskWorkers(client)
