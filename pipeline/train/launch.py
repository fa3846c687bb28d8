"""The launchers: start worker processes, show what they say, and end them all together.

Workers are separate processes even when this one has TensorFlow imported already, because a cluster
and logical devices must be set up before TensorFlow's first operation. A job fails as a whole: the
workers of TensorFlow cannot go on without one of them, nor take one back. What died by itself is
started again, from the last checkpoint; what a worker reports as wrong is not, for it would be
wrong again.
"""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from pipeline.core import ray_cluster, runtime
from pipeline.core.artifacts import STATE, Artifacts
from pipeline.core.console import progress, say
from pipeline.core.errors import BusyError, PipelineError
from pipeline.core.publishing import exclusive
from pipeline.core.schema import dump
from pipeline.core.stage import Context
from pipeline.train.cluster import Cluster
from pipeline.train.config import LauncherConfig, TrainStageConfig
from pipeline.train.crew import Crew, Worker
from pipeline.train.crew_local import local_crew
from pipeline.train.crew_ray import ray_crew
from pipeline.train.placement import Placement, free_addresses

_LOGS = f"{STATE}/logs/train"
_LOCK = "launcher.lock"
_TICK_SECONDS = 0.5


class WorkerDiedError(PipelineError):
    """A worker ended without a word: killed, out of memory, or lost to the others."""


def launch(
    config: TrainStageConfig, artifacts: Artifacts, context: Context, placement: Placement
) -> None:
    """Runs the job until it is done; starts it again when a worker died.

    Raises:
        PipelineError: A worker failed, died too often, never came or fell silent.
        KeyboardInterrupt: The job was asked to stop; the chief has saved a checkpoint.
    """
    launcher = config.launcher
    restarts = 0 if launcher.name == "external" else launcher.max_restarts
    with (
        _stopping_at_sigterm(),
        _job_file(config, artifacts, context) as job,
        _starter(launcher, placement, artifacts.root, job) as start,
    ):
        for left in range(restarts, -1, -1):
            try:
                with start() as crew:
                    _run(crew, launcher)
            except WorkerDiedError as error:
                if not left:
                    raise
                say(f"{error.came}; starting all workers again ({left} restarts left)")
            else:
                return


@contextmanager
def _job_file(config: TrainStageConfig, artifacts: Artifacts, context: Context) -> Iterator[Path]:
    """In the project's folder, so that a worker elsewhere that sees it shares that folder."""
    job = {
        "root": str(artifacts.root),
        "sections": config.sections(),
        "journal": str(context.journal.path),
        "tracking": dump(context.tracking) if context.tracking else None,
        "grace_seconds": config.launcher.grace_seconds,
    }
    jobs = artifacts.root / STATE / "jobs"
    jobs.mkdir(parents=True, exist_ok=True)
    _clear_killed(jobs)
    with (
        tempfile.TemporaryDirectory(prefix="train-", dir=jobs) as folder,
        exclusive(Path(folder) / _LOCK, "this job"),
    ):
        path = Path(folder) / "job.json"
        path.write_text(json.dumps(job), encoding="utf-8")
        yield path


def _clear_killed(jobs: Path) -> None:
    """Removes what killed launchers left: folders whose lock nobody holds any more."""
    for lock in jobs.glob(f"train-*/{_LOCK}"):
        with suppress(BusyError), exclusive(lock, "that job"):
            shutil.rmtree(lock.parent, ignore_errors=True)  # another launcher may be at it, too


_Start = Callable[[], AbstractContextManager[Crew]]


@contextmanager
def _starter(
    launcher: LauncherConfig, placement: Placement, root: Path, job: Path
) -> Iterator[_Start]:
    """Yields what starts the workers, anew for each attempt."""
    logs = root / _LOGS
    if launcher.name == "ray" and placement.strategy == "multi_worker":
        with ray_cluster.connected(launcher.address):
            yield partial(ray_crew, launcher, root, job, logs)
        return

    def start() -> AbstractContextManager[Crew]:
        threads = launcher.threads or max(1, runtime.usable_cores() // placement.processes)
        return local_crew(job, _clusters(placement), threads, logs)

    yield start


def _clusters(placement: Placement) -> list[Cluster | None]:
    """What each process of this machine is told."""
    if placement.processes == 1:
        return [placement.cluster]
    addresses = free_addresses(placement.processes)  # earlier ones may be taken by now
    return [Cluster(addresses, index) for index in range(placement.processes)]


def _run(crew: Crew, launcher: LauncherConfig) -> None:
    try:
        _attend_all(crew, launcher)
    except KeyboardInterrupt:
        _stop(crew, launcher.grace_seconds)
        raise


@contextmanager
def _stopping_at_sigterm() -> Iterator[None]:
    """SIGTERM to the launcher is taken like Ctrl-C: the chief saves before all leave."""

    def interrupt(number: int, frame: object) -> None:
        del number, frame
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _attend_all(crew: Crew, launcher: LauncherConfig) -> None:
    """Shows what the workers say until all have ended well."""
    workers = crew.workers
    with ExitStack() as stack:
        advance = None
        while True:
            for worker, facts in crew.attend(_TICK_SECONDS):
                if worker.index:
                    continue
                if "total" in facts:
                    advance = stack.enter_context(progress(facts["description"], facts["total"]))
                elif "advance" in facts and advance:
                    advance(facts["advance"], facts["note"])
            _require_well(workers)
            if all(worker.ended == 0 for worker in workers):
                return
            _require_punctual(crew, launcher)


def _require_well(workers: list[Worker]) -> None:
    """Raises what a worker has reported, else that one has died."""
    ended = [worker for worker in workers if worker.ended]
    if not ended:
        return
    if all(worker.ended == 130 for worker in ended):
        raise KeyboardInterrupt
    # What goes wrong in one makes the others fail too, which may end before it does.
    for worker in (w for w in workers if w.error and not w.error["lost"]):
        raise worker.failure()
    killed = [worker for worker in ended if worker.ended and worker.ended < 0]
    raise (killed or ended)[0].death(WorkerDiedError)


def _require_punctual(crew: Crew, launcher: LauncherConfig) -> None:
    workers, now = crew.workers, time.monotonic()
    limit = launcher.start_timeout_seconds
    late = [w for w in workers if w.state in {"starting", "started"} and now - w.since > limit]
    if late:
        # Those that wait for a peer are late as well; blame the ones that did not even start.
        worst = [w for w in late if w.state == "starting"] or late
        names = ", ".join(str(worker.index) for worker in worst)
        raise PipelineError(
            f"worker {names} has not joined the others within {limit:g} s",
            expected="all workers of the job, on addresses they can reach",
            remedy=f"see {worst[0].log}; raise launcher.start_timeout_seconds on a slow machine",
        )
    limit = launcher.stall_timeout_seconds
    silent = [w for w in workers if w.state == "training" and now - w.heard > limit]
    if silent:
        # The others wait for it, so all are silent; one that is held is surely the one.
        worst = [min(silent, key=lambda worker: (not crew.is_held(worker), worker.heard))]
        held = ": it is stopped, by a signal or a debugger" if crew.is_held(worst[0]) else ""
        raise WorkerDiedError(
            f"worker {worst[0].index} has been silent for {limit:g} s{held}",
            expected="a sign of life after every call into TensorFlow",
            remedy="raise launcher.stall_timeout_seconds where calls or validation take so long,"
            " or lower train.steps_per_execution",
        )


def _stop(crew: Crew, grace_seconds: float) -> None:
    """Asks all to stop and waits for the chief; whoever made the crew ends the rest."""
    crew.ask_to_stop()
    deadline = time.monotonic() + grace_seconds
    while time.monotonic() < deadline and crew.workers[0].ended is None:
        for _ in crew.attend(_TICK_SECONDS):
            pass
