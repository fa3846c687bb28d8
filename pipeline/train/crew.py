"""What a launcher knows of its workers, wherever they run: their state, their words, their end."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.core.errors import PipelineError
from pipeline.core.program import ERR, VOICE, Listen, Program
from pipeline.train.cluster import Cluster

Facts = dict[str, Any]


class Worker:
    """One worker as its launcher sees it.

    Args:
        index: Its number, from 0; 0 is the chief.
        log: Takes all it prints.

    Attributes:
        state: starting, started (its program runs), joined (the others are there), training, done.
        since: When it was started, by the monotonic clock.
        heard: When it last told something.
        error: What it reported as wrong.
        ended: Its exit code; negative for a signal, None while it runs.
    """

    def __init__(self, index: int, log: Path) -> None:
        self.index = index
        self.log = log
        self.state = "starting"
        self.error: Facts | None = None
        self.ended: int | None = None
        self.since = self.heard = time.monotonic()
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")

    def take(self, stream: str, line: str) -> Facts | None:
        """Shows and logs what it printed; returns what it told."""
        if stream != VOICE:
            self._print(stream, line)
            return None
        facts: Facts = json.loads(line)
        self.heard = time.monotonic()
        self.state = facts.get("state", self.state)
        self.error = facts.get("error", self.error)
        return facts

    def _print(self, stream: str, line: str) -> None:
        with self.log.open("a", encoding="utf-8") as log:
            log.write(line + "\n")
        if stream == ERR:
            print(f"[worker {self.index}] {line}", file=sys.stderr, flush=True)
        elif self.index == 0:  # the stage's own words
            print(line, flush=True)

    def lost(self, why: str) -> None:
        """Notes that the machine it ran on is not there any more."""
        self.ended = 1
        self.error = {"came": why, "lost": True}

    def failure(self) -> PipelineError:
        """What it reported, with its name where it is not what all report."""
        told = self.error or {}
        name = "" if told["of_all_workers"] else f"worker {self.index}: "
        error = PipelineError(f"{name}{told['came']}", told["expected"])
        error.remedy = told["remedy"]
        error.exit_code = told["exit_code"]  # type: ignore[misc]
        return error

    def death(self, kind: type[PipelineError]) -> PipelineError:
        """That it has died, and what that may mean."""
        code = self.ended or 0
        if code >= 0:
            came = self.error["came"] if self.error else f"it ended with exit code {code}"
            return kind(f"worker {self.index} failed: {came}", remedy=f"see {self.log}")
        name = signal.Signals(-code).name
        return kind(
            f"worker {self.index} was killed by {name}",
            remedy="where nobody did so, the machine ran out of memory: use fewer workers, a"
            f" smaller train.global_batch_size or train.input=stream; see {self.log}",
        )


class Crew:
    """The workers of one attempt, started already.

    Args:
        programs: Their programs, the chief's first.
        listen: Hears them.
        logs: Folder of their logs.
    """

    def __init__(self, programs: Sequence[Program], listen: Listen, logs: Path) -> None:
        self.workers = [Worker(i, logs / f"worker-{i}.log") for i in range(len(programs))]
        self._workers = dict(zip(programs, self.workers, strict=True))
        self._listen = listen

    def attend(self, timeout_seconds: float) -> Iterator[tuple[Worker, Facts]]:
        """Waits for the next words of any worker; yields the facts, and notes who has ended."""
        for program, stream, line in self._listen(list(self._workers), timeout_seconds):
            facts = self._workers[program].take(stream, line)
            if facts:
                yield self._workers[program], facts
        for program, worker in self._workers.items():
            worker.ended = program.ended
            if program.lost:
                worker.lost(program.lost)

    def is_held(self, worker: Worker) -> bool:
        """Whether a signal or a debugger holds it, as far as can be seen from here."""
        return any(p.is_held for p, known in self._workers.items() if known is worker)

    def ask_to_stop(self) -> None:
        """Sends all of them SIGTERM, upon which a training worker saves and leaves."""
        for program in self._workers:
            program.ask_to_stop()

    def end(self) -> None:
        """Ends them: what they have to save is saved by now."""
        for program, worker in self._workers.items():
            for stream, line in program.end():
                worker.take(stream, line)


def command(job: Path) -> list[str]:
    """The program of a worker, after the interpreter and before the descriptor of its voice."""
    return ["-m", "pipeline.train.worker", "--job", str(job), "--voice"]


def told(cluster: Cluster | None, threads: int) -> dict[str, str]:
    """What a worker's environment says: its cluster and its threads."""
    facts = {"TF_NUM_INTRAOP_THREADS": str(threads), "TF_NUM_INTEROP_THREADS": str(threads)}
    if cluster:
        facts["TF_CONFIG"] = cluster.as_tf_config()
        if len(cluster.addresses) > 1:
            facts["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    return facts
