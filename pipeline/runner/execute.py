"""Runs one stage, as `dvc.yaml` calls it: config, lock, journal, card, exit code."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pipeline.compose.params import read_params
from pipeline.core import tracking
from pipeline.core.artifacts import STATE, Artifacts, Record
from pipeline.core.console import say
from pipeline.core.errors import PipelineError
from pipeline.core.publishing import exclusive
from pipeline.core.schema import build, config, lookup
from pipeline.core.stage import Context, Stage
from pipeline.runner.failures import machine_failure
from pipeline.runner.stages import CONFIGURED, find_stage

EXIT_INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""


@config
class StageState:
    """How a stage last ended on this machine; kept in .pipeline/stages/NAME.json."""

    stage: str
    """Name of the stage."""
    run: str
    """Key of the pipeline run it belonged to."""
    state: Literal["running", "done", "failed", "refused", "interrupted"]
    """`running` after the process has gone means that it was killed."""
    started_at: float
    """Seconds since the epoch."""
    seconds: float
    """Wall time."""
    peak_memory_bytes: int
    """Peak resident memory of the process so far."""
    exit_code: int
    """What the stage's process ended with."""
    message: str
    """The card of a failure; empty when done."""


def stage_state(root: Path, name: str) -> Record[StageState]:
    """Where the last state of a stage is kept."""
    return Record(root / STATE / "stages" / f"{name}.json", StageState)


def run_stage(root: Path, name: str) -> int:
    """Runs the stage called `name` in the project `root`; returns its exit code.

    Failures are printed as a card on standard error; the traceback goes to a log file.
    """
    try:
        stage = find_stage(name)
        with exclusive(root / STATE / "locks" / f"{name}.lock", f"stage {name}", wait_seconds=10):
            return _run_locked(root, stage)
    except PipelineError as error:
        print(f"\n{error}", file=sys.stderr, flush=True)
        return error.exit_code


def _run_locked(root: Path, stage: Stage) -> int:
    params = {} if stage.config is None else read_params(root)
    settings = stage.configure(params)
    run = tracking.open_run(root, params)
    journal = tracking.journal_for(root, run, stage.name)
    context = Context(
        root=root,
        journal=journal,
        experiment=os.environ.get("DVC_EXP_NAME"),
        tracking=_tracking_config(params),
        stages=CONFIGURED,
    )

    def work() -> None:
        stage.load()(settings, Artifacts(root), context)

    with _recorded(root, stage, run.key, journal) as ended:
        ended(work)
    return stage_state(root, stage.name).read().exit_code


def flush_journals(root: Path) -> None:
    """Carries every journal not yet told into MLflow."""
    settings = _tracking_config(read_params(root))
    if settings:
        tracking.flush(root, settings)


def _tracking_config(params: Mapping[str, Any]) -> tracking.TrackingConfig | None:
    if "tracking" not in params:
        return None
    return build(tracking.TrackingConfig, lookup(params, "tracking"), "tracking")


@contextlib.contextmanager
def _recorded(
    root: Path, stage: Stage, run: str, journal: tracking.Journal
) -> Iterator[Callable[[Callable[[], None]], None]]:
    """Yields a function that does the work and records how it ended, whatever happens."""
    record = stage_state(root, stage.name)
    started = time.time()
    clock = time.monotonic()

    def save(state: Any, exit_code: int, message: str = "") -> None:
        record.write(
            StageState(
                stage=stage.name,
                run=run,
                state=state,
                started_at=started,
                seconds=round(time.monotonic() - clock, 3),
                peak_memory_bytes=_peak_memory_bytes(),
                exit_code=exit_code,
                message=message,
            )
        )

    def ended(work: Callable[[], None]) -> None:
        try:
            save("running", 1)
            journal.start()
            say(f"[{stage.name}] {stage.does}")
            work()
        except KeyboardInterrupt:
            save("interrupted", EXIT_INTERRUPTED, "interrupted; a rerun resumes")
            journal.finish("KILLED")
            print(f"[{stage.name}] interrupted; nothing half written", file=sys.stderr, flush=True)
        except Exception as error:  # noqa: BLE001  the card is for every failure there is
            failure = _explained(error)
            state = "refused" if failure.exit_code == 3 else "failed"
            save(state, failure.exit_code, str(failure))
            journal.finish("FAILED")
            _print_card(root, stage, failure, error)
        else:
            save("done", 0)
            journal.finish("FINISHED")
            say(f"[{stage.name}] done in {time.monotonic() - clock:.1f} s")

    yield ended


def _peak_memory_bytes() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _explained(error: Exception) -> PipelineError:
    """The error as one that says what to do; the original stays in the log."""
    if isinstance(error, PipelineError):
        return error
    if failure := machine_failure(error):
        return failure
    return PipelineError(f"{type(error).__name__}: {error}", remedy="see the traceback in the log")


def _print_card(root: Path, stage: Stage, failure: PipelineError, error: Exception) -> None:
    log = root / STATE / "logs" / f"{stage.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    title = "refused" if failure.exit_code == 3 else "failed"
    print(
        f"\n[{stage.name}] {title}\n{failure}\n  log:      {log.relative_to(root)}",
        file=sys.stderr,
        flush=True,
    )
