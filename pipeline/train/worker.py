"""The program of a worker: `python -m pipeline.train.worker`.

Started by the launcher it is told its job on the command line, and tells the launcher how it fares.
Started by a scheduler, on every worker but the chief's, it finds the project around itself, the
config in params.yaml and the other workers in the environment.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from pipeline.core import runtime
from pipeline.core.artifacts import PARAMS, Artifacts, require
from pipeline.core.errors import PipelineError
from pipeline.core.schema import build
from pipeline.core.stage import Context
from pipeline.core.tracking import Journal, TrackingConfig
from pipeline.train import STAGE
from pipeline.train.cluster import cluster_of
from pipeline.train.config import TrainStageConfig
from pipeline.train.ring import RingBrokenError

EXIT_INTERRUPTED = 130


class Voice:
    """What a worker tells its launcher: lines of JSON; without a launcher nothing.

    Args:
        descriptor: Of the socket; None without a launcher.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._file = None if descriptor is None else os.fdopen(descriptor, "w", encoding="utf-8")

    def leave_with_launcher(self, grace_seconds: float) -> None:
        """Ends the process when the launcher, which never says a word, has closed its end."""

        def watch(descriptor: int) -> None:
            os.read(descriptor, 1)
            time.sleep(grace_seconds)
            os._exit(1)

        if self._file:
            threading.Thread(target=watch, args=(self._file.fileno(),), daemon=True).start()

    def tell(self, **facts: Any) -> None:
        """Tells facts by name."""
        if self._file:
            self._file.write(json.dumps(facts) + "\n")
            self._file.flush()

    @contextmanager
    def progress(self, description: str, total: float) -> Iterator[Callable[[float, str], None]]:
        """Like `console.progress`: the launcher shows the bar."""
        self.tell(state="training", description=description, total=total)

        def advance(steps: float, note: str = "") -> None:
            self.tell(advance=steps, note=note)

        yield advance


def main() -> int:
    """Works; returns the exit code."""
    parser = argparse.ArgumentParser(description="a worker of stage train; see docs/training.md")
    parser.add_argument("--job", type=Path, help="a file of the launcher")
    parser.add_argument("--voice", type=int, help="descriptor of a socket to the launcher")
    options = parser.parse_args()
    voice = Voice(options.voice)
    try:
        job = _read_job(options.job)
        if options.voice is not None:
            voice.leave_with_launcher(job["grace_seconds"])
        _work(job, voice)
    except PipelineError as error:
        _complain(voice, error, "")
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001  the launcher tells it to people
        _complain(voice, _explained(error), traceback.format_exc())
        return 1
    return 0


def _read_job(path: Path | None) -> dict[str, Any]:
    if path:
        job: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return job
    params = Path.cwd() / PARAMS
    require(params)
    sections = yaml.safe_load(params.read_text(encoding="utf-8"))
    return {
        "root": str(Path.cwd()),
        "sections": sections,
        "tracking": sections.get("tracking"),
        "journal": os.devnull,
    }


def _work(job: Mapping[str, Any], voice: Voice) -> None:
    config: TrainStageConfig = STAGE.configure(job["sections"])
    alone = config.strategy.name in {"one_device", "mirrored"}
    cluster = None if alone else cluster_of(os.environ)
    voice.tell(state="started")
    runtime.quiet_tensorflow()
    from pipeline.train.strategy import ALONE, Team, Workers, mirrored
    from pipeline.train.work import work

    team: Team = ALONE
    if config.strategy.name == "mirrored":
        team = mirrored(config.strategy.logical_devices)
    elif cluster is not None:
        team = Workers(cluster, config.launcher.start_timeout_seconds)
    voice.tell(state="joined")
    root = Path(job["root"])
    told = job["tracking"]
    tracking = build(TrackingConfig, told, "tracking") if told else None
    context = Context(root=root, journal=Journal(Path(job["journal"])), tracking=tracking)
    work(config, Artifacts(root), context, team, voice.progress)
    voice.tell(state="done")


class _LostError(PipelineError):
    """The other workers are not there any more."""


def _explained(error: Exception) -> PipelineError:
    kind = type(error).__name__
    lost = {"UnavailableError", "AbortedError", "CancelledError", "InternalError"}
    if kind in lost or RingBrokenError.__name__ in str(error):
        return _LostError(f"it lost the other workers: {str(error).splitlines()[0]}")
    return PipelineError(f"{kind}: {error}", remedy="see the traceback above")


def _complain(voice: Voice, error: PipelineError, trace: str) -> None:
    print(trace or str(error), file=sys.stderr, flush=True)
    voice.tell(
        error={
            "came": error.came,
            "expected": error.expected,
            "remedy": error.remedy,
            "exit_code": error.exit_code,
            "lost": error.__class__ is _LostError,
            "of_all_workers": getattr(error, "of_all_workers", False),
        }
    )


if __name__ == "__main__":
    sys.exit(main())
