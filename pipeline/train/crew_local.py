"""Workers on this machine: processes of the launcher's own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.core.child import Child, listen
from pipeline.train.cluster import Cluster
from pipeline.train.crew import Crew, command, told


@contextmanager
def local_crew(
    job: Path, clusters: Sequence[Cluster | None], threads: int, logs: Path
) -> Iterator[Crew]:
    """Starts one worker for each of `clusters`, and ends them with the block.

    Args:
        job: The file with their job.
        clusters: What each is told; None is no cluster.
        threads: Of each.
        logs: Folder of their logs.
    """
    # Nothing of another scheduler.
    kept = {key: value for key, value in os.environ.items() if key != "TF_CONFIG"}
    children = [
        Child([sys.executable, *command(job)], {**kept, **told(cluster, threads)})
        for cluster in clusters
    ]
    crew = Crew(children, listen, logs)
    try:
        yield crew
    finally:
        crew.end()
