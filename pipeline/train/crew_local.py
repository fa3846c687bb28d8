"""Workers on this machine: processes of the launcher's own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.core.child import Child, listen
from pipeline.train.cluster import Cluster
from pipeline.train.crew import Facts, Worker, command, told


class LocalCrew:
    """See `Crew`.

    Attributes:
        workers: The workers.
        children: Their processes, in the same order.
    """

    def __init__(self) -> None:
        self.workers: list[Worker] = []
        self.children: list[Child] = []

    def attend(self, timeout_seconds: float) -> Iterator[tuple[Worker, Facts]]:
        """See `Crew.attend`."""
        for child, stream, line in listen(self.children, timeout_seconds):
            worker = self.workers[self.children.index(child)]
            facts = worker.take(stream, line)
            if facts:
                yield worker, facts
        for worker, child in zip(self.workers, self.children, strict=True):
            worker.ended = child.ended

    def ask_to_stop(self) -> None:
        """See `Crew.ask_to_stop`."""
        for child in self.children:
            child.ask_to_stop()


@contextmanager
def local_crew(
    job: Path, clusters: Sequence[Cluster | None], threads: int, logs: Path
) -> Iterator[LocalCrew]:
    """Starts one worker for each of `clusters`, and ends them with the block.

    Args:
        job: The file with their job.
        clusters: What each is told; None is no cluster.
        threads: Of each.
        logs: Folder of their logs.
    """
    # Nothing of another scheduler.
    kept = {key: value for key, value in os.environ.items() if key != "TF_CONFIG"}
    crew = LocalCrew()
    try:
        for index, cluster in enumerate(clusters):
            environment = {**kept, **told(cluster, threads)}
            crew.children.append(Child([sys.executable, *command(job)], environment))
            crew.workers.append(Worker(index, logs / f"worker-{index}.log"))
        yield crew
    finally:
        for worker, child in zip(crew.workers, crew.children, strict=True):
            for stream, line in child.end():
                worker.take(stream, line)
