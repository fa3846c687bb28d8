"""Where the workers of a search come from: this machine, or a Ray cluster."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from pipeline.core import child, ray_cluster, ray_program
from pipeline.core.ray_cluster import Room
from pipeline.core.ray_program import Remote
from pipeline.core.runtime import usable_cores
from pipeline.tune.study import DATABASE
from pipeline.tune.workers import Crew


def local_crew(program: Sequence[str], root: Path, folder: Path, size: int) -> Crew:
    """Processes of this machine, which share its cores.

    Args:
        program: What each of them runs, after the interpreter.
        root: The project, their working folder.
        folder: The study's.
        size: How many at once.
    """
    environment = {
        **os.environ,
        **_threads(max(1, usable_cores() // size)),
        # Several processes share a GPU only where none takes all of its memory at once.
        **({"TF_FORCE_GPU_ALLOW_GROWTH": "true"} if size > 1 else {}),
    }
    start = partial(child.Child, [sys.executable, *program], environment, root)
    return Crew(folder, size, start, child.listen)


@contextmanager
def ray_crew(
    program: Sequence[str],
    root: Path,
    folder: Path,
    size: int,
    *,
    address: str | None,
    room: Room,
    threads: int,
    patience_seconds: float,
) -> Iterator[Crew]:
    """Within the block, a Ray cluster runs them: as many at once as it has room for.

    Args:
        program: See `local_crew`.
        root: See `local_crew`; on a disk that all nodes share.
        folder: The study's, in the project.
        size: How many at once at most.
        address: Of the cluster; None for one of our own.
        room: What one of them may use.
        threads: Of each.
        patience_seconds: How long to wait while there is room for none.

    Raises:
        ConfigError: Ray is not installed.
        PipelineError: There is no such cluster, or no room for a single one.
    """
    with ray_cluster.connected(address):
        if address is None:
            ray_cluster.require_room(room)

        def start() -> Remote:
            remote = Remote(room, "SPREAD" if room.placement == "spread" else "DEFAULT")
            remote.start(program, root, _threads(threads), needed=folder / DATABASE)
            return remote

        yield Crew(folder, size, start, _Listener(room, patience_seconds))


class _Listener:
    """Hears programs on the cluster, as long as at least one of them has a place there."""

    def __init__(self, room: Room, patience_seconds: float) -> None:
        self.room = room
        self.patience_seconds = patience_seconds
        self.since = time.monotonic()

    def __call__(
        self, programs: Sequence[Remote], timeout_seconds: float
    ) -> Iterator[tuple[Remote, str, str]]:
        yield from ray_program.listen(programs, timeout_seconds)
        if any(program.placed for program in programs):
            self.since = time.monotonic()
        elif time.monotonic() - self.since > self.patience_seconds:
            raise ray_cluster.no_room(self.room, self.patience_seconds)


def _threads(count: int) -> Mapping[str, str]:
    return {"TF_NUM_INTRAOP_THREADS": str(count), "TF_NUM_INTEROP_THREADS": str(count)}
