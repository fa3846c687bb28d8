"""The program of a search worker: trains the trials it is given (see `pipeline.tune.workers`).

python -m pipeline.runner.trial_worker SOCKET
"""

from __future__ import annotations

import dataclasses
import json
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.artifacts import Artifacts
from pipeline.core.errors import PipelineError
from pipeline.core.processes import die_with_parent
from pipeline.core.runtime import quiet_tensorflow
from pipeline.core.schema import build
from pipeline.core.tracking import TrackingConfig
from pipeline.train import STAGE as TRAIN

if TYPE_CHECKING:
    from pipeline.train.trial import Trials


class _PrunedError(Exception):
    """The search gives this trial up."""


class _Search:
    """The other end of the socket."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.lines = connection.makefile("r", encoding="utf-8")

    def say(self, kind: str, value: object) -> None:
        self.connection.sendall(json.dumps({kind: value}).encode() + b"\n")

    def requests(self) -> Iterator[Mapping[str, Any]]:
        """The composed config of each trial, until the search ends."""
        for line in self.lines:
            yield json.loads(line)["params"]

    def tell(self, row: Mapping[str, float]) -> None:
        """Tells an epoch, and hears whether to go on."""
        self.say("epoch", row)
        answer = self.lines.readline()
        if not answer:
            raise SystemExit(1)  # nobody waits for this trial any more
        if not json.loads(answer)["go_on"]:
            raise _PrunedError


def work(connection: socket.socket) -> None:
    """Encodes the table once, then trains until the search ends."""
    search = _Search(connection)
    try:
        quiet_tensorflow()
        from pipeline.train.trial import Trials

        trials = Trials(Artifacts(Path.cwd()))
    except PipelineError as error:
        search.say("refused", str(error))
        return
    search.say("ready", {"metrics": trials.metrics})
    for params in search.requests():
        search.say(*_trained(trials, params, search))


def _trained(trials: Trials, params: Mapping[str, Any], search: _Search) -> tuple[str, Any]:
    """How a trial ended; whatever it raises ends this trial, not the search."""
    try:
        tracking = build(TrackingConfig, params["tracking"], "tracking")
        result = trials.run(TRAIN.configure(params), search.tell, tracking)
    except _PrunedError:
        return "pruned", {}
    except PipelineError as error:
        return "failed", str(error)
    except Exception as error:  # noqa: BLE001  one trial's failure is an answer
        return "failed", f"{type(error).__name__}: {error}"
    return "done", dataclasses.asdict(result)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    die_with_parent()
    work(socket.socket(fileno=int(sys.argv[1])))
