"""Workers on a Ray cluster: Ray finds the nodes, TensorFlow's own workers run there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.core import ray_cluster
from pipeline.core.ray_cluster import Program, Room
from pipeline.core.ray_host import Words
from pipeline.train.cluster import Cluster
from pipeline.train.config import LauncherConfig
from pipeline.train.crew import Facts, Worker, command, told


class RayCrew:
    """See `Crew`.

    Attributes:
        workers: The workers.
        programs: Their programs, in the same order.
    """

    def __init__(self, programs: list[Program], logs: Path) -> None:
        self.programs = programs
        self.workers = [Worker(i, logs / f"worker-{i}.log") for i in range(len(programs))]

    def attend(self, timeout_seconds: float) -> Iterator[tuple[Worker, Facts]]:
        """See `Crew.attend`."""
        running = [
            program
            for worker, program in zip(self.workers, self.programs, strict=True)
            if worker.ended is None
        ]
        for program, words in ray_cluster.listen(running, timeout_seconds):
            worker = self.workers[self.programs.index(program)]
            yield from self._take(worker, words)

    def _take(self, worker: Worker, words: Words) -> Iterator[tuple[Worker, Facts]]:
        for stream, line in words.lines:
            facts = worker.take(stream, line)
            if facts:
                yield worker, facts
        worker.ended = words.ended
        if words.lost:
            worker.lost(words.lost)

    def ask_to_stop(self) -> None:
        """See `Crew.ask_to_stop`."""
        for program in self.programs:
            program.ask_to_stop()

    def end(self) -> None:
        """Ends all programs, and logs their last words."""
        for worker, words in zip(self.workers, ray_cluster.end(self.programs), strict=True):
            for stream, line in words.lines:
                worker.take(stream, line)


@contextmanager
def ray_crew(launcher: LauncherConfig, root: Path, job: Path, logs: Path) -> Iterator[RayCrew]:
    """Starts `launcher.workers` workers where there is room, and ends them with the block.

    Raises:
        PipelineError: There is no room, or a node lacks the project.
    """
    limit = launcher.start_timeout_seconds
    threads = launcher.threads or max(1, int(launcher.cpus_per_worker))
    room = Room(
        launcher.workers, launcher.cpus_per_worker, launcher.gpus_per_worker, launcher.placement
    )
    with ray_cluster.reserved(room, launcher.address, limit) as places:
        programs = [ray_cluster.program(room, place) for place in places]
        found = tuple(ray_cluster.addresses(programs, job, limit))
        crew = RayCrew(programs, logs)
        try:
            for index, program in enumerate(programs):
                program.start(command(job), root, told(Cluster(found, index), threads))
            yield crew
        finally:
            crew.end()
