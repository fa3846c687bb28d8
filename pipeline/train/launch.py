"""The local launcher: starts worker processes, shows what they say, and ends them all together.

Workers are separate processes even when this one has TensorFlow imported already, because a cluster
and logical devices must be set up before TensorFlow's first operation. A job fails as a whole: the
workers of TensorFlow cannot go on without one of them, nor take one back. What died by itself is
started again, from the last checkpoint; what a worker reports as wrong is not, for it would be
wrong again.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pipeline.core import runtime
from pipeline.core.artifacts import STATE, Artifacts
from pipeline.core.console import progress, say
from pipeline.core.errors import PipelineError
from pipeline.core.schema import dump
from pipeline.core.stage import Context
from pipeline.train.cluster import Cluster
from pipeline.train.config import LauncherConfig, TrainStageConfig
from pipeline.train.placement import Placement, free_addresses
from pipeline.train.worker_process import WorkerProcess, attend

_LOGS = f"{STATE}/logs/train"
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
    processes = placement.processes
    local = config.launcher.name == "local"
    restarts = config.launcher.max_restarts if local else 0
    with _job_file(config, artifacts, context) as job:
        for left in range(restarts, -1, -1):
            try:
                _run_job(config.launcher, artifacts.root, job, processes)
            except WorkerDiedError as error:
                if not left:
                    raise
                say(f"{error.came}; starting all workers again ({left} restarts left)")
                if local and len(processes) > 1:  # the old addresses may be taken by now
                    addresses = free_addresses(len(processes))
                    processes = tuple(Cluster(addresses, i) for i in range(len(processes)))
            else:
                return


@contextmanager
def _job_file(config: TrainStageConfig, artifacts: Artifacts, context: Context) -> Iterator[Path]:
    job = {
        "root": str(artifacts.root),
        "sections": config.sections(),
        "journal": str(context.journal.path),
        "tracking": dump(context.tracking) if context.tracking else None,
        "grace_seconds": config.launcher.grace_seconds,
    }
    with tempfile.TemporaryDirectory(prefix="pipeline-train-") as folder:
        path = Path(folder) / "job.json"
        path.write_text(json.dumps(job), encoding="utf-8")
        yield path


def _run_job(
    launcher: LauncherConfig, root: Path, job: Path, processes: tuple[Cluster | None, ...]
) -> None:
    threads = launcher.threads or max(1, runtime.usable_cores() // len(processes))
    with ExitStack() as stack:
        workers = [
            stack.enter_context(
                WorkerProcess(
                    index, job, _environment(cluster, threads), root / _LOGS / f"worker-{index}.log"
                )
            )
            for index, cluster in enumerate(processes)
        ]
        with _stopping_at_sigterm():
            try:
                _attend_all(workers, launcher)
            except KeyboardInterrupt:
                _stop(workers, launcher.grace_seconds)
                raise


def _environment(cluster: Cluster | None, threads: int) -> dict[str, str]:
    """Of a worker: its cluster, its threads, and nothing of another scheduler."""
    kept = {key: value for key, value in os.environ.items() if key != "TF_CONFIG"}
    told = {"TF_CONFIG": cluster.as_tf_config()} if cluster else {}
    if cluster and len(cluster.addresses) > 1:
        told |= {"GRPC_ENABLE_FORK_SUPPORT": "0"}
    return {
        **kept,
        **told,
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "TF_NUM_INTEROP_THREADS": str(threads),
    }


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


def _attend_all(workers: list[WorkerProcess], launcher: LauncherConfig) -> None:
    """Shows what the workers say until all have ended well."""
    with ExitStack() as stack:
        advance = None
        while True:
            for worker, facts in attend(workers, _TICK_SECONDS):
                if worker.index:
                    continue
                if "total" in facts:
                    advance = stack.enter_context(progress(facts["description"], facts["total"]))
                elif "advance" in facts and advance:
                    advance(facts["advance"], facts["note"])
            _require_well(workers)
            if all(worker.ended == 0 for worker in workers):
                return
            _require_punctual(workers, launcher)


def _require_well(workers: list[WorkerProcess]) -> None:
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


def _require_punctual(workers: list[WorkerProcess], launcher: LauncherConfig) -> None:
    now = time.monotonic()
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
        worst = [min(silent, key=lambda worker: (not worker.is_stopped, worker.heard))]
        held = ": it is stopped, by a signal or a debugger" if worst[0].is_stopped else ""
        raise WorkerDiedError(
            f"worker {worst[0].index} has been silent for {limit:g} s{held}",
            expected="a sign of life after every call into TensorFlow",
            remedy="raise launcher.stall_timeout_seconds where calls or validation take so long,"
            " or lower train.steps_per_execution",
        )


def _stop(workers: list[WorkerProcess], grace_seconds: float) -> None:
    """Asks all to stop and waits for them; leaving the block that made them ends the rest."""
    for worker in workers:
        worker.ask_to_stop()
    deadline = time.monotonic() + grace_seconds
    while time.monotonic() < deadline and workers[0].ended is None:
        for _ in attend(workers, _TICK_SECONDS):
            pass
