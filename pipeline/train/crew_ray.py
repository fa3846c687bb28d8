"""Workers on a Ray cluster: Ray finds the nodes, TensorFlow's own workers run there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.core.ray_cluster import Room, reserved
from pipeline.core.ray_program import Remote, addresses, listen
from pipeline.train.cluster import Cluster
from pipeline.train.config import LauncherConfig
from pipeline.train.crew import Crew, command, told


@contextmanager
def ray_crew(launcher: LauncherConfig, root: Path, job: Path, logs: Path) -> Iterator[Crew]:
    """Starts `launcher.workers` workers where there is room, and ends them with the block.

    Args:
        launcher: How many, and what each may use.
        root: The project, on a disk that all nodes share.
        job: The file with their job, in the project.
        logs: Folder of their logs.

    Raises:
        PipelineError: There is no room, or an actor does not start.
    """
    limit = launcher.start_timeout_seconds
    threads = launcher.threads or max(1, int(launcher.cpus_per_worker))
    room = Room(
        launcher.workers, launcher.cpus_per_worker, launcher.gpus_per_worker, launcher.placement
    )
    with reserved(room, launcher.address, limit) as places:
        programs = [Remote(room, place) for place in places]
        found = addresses(programs, limit)
        for index, program in enumerate(programs):
            cluster = Cluster(found, index)
            program.start(command(job), root, told(cluster, threads), needed=job)
        crew = Crew(programs, listen, logs)
        try:
            yield crew
        finally:
            crew.end()
