"""One worker as its launcher sees it: a process, its logs, and what it tells of itself."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import psutil

from pipeline.core.errors import PipelineError

_HELD = (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)


class WorkerProcess:
    """Starts the worker; leaving the block ends it, whatever it does.

    Args:
        index: Number of the worker, from 0; 0 is the chief.
        job: The file with its job.
        environment: Its environment.
        log: Takes all it prints.

    Attributes:
        state: starting, started (its program runs), joined (the others are there), training, done.
        since: When it was started, by the monotonic clock.
        heard: When it last told something.
        error: What it reported as wrong.
        ended: Its exit code; negative for a signal, None while it runs.
    """

    def __init__(self, index: int, job: Path, environment: Mapping[str, str], log: Path) -> None:
        self.index = index
        self.log = log
        self.state = "starting"
        self.error: dict[str, Any] | None = None
        self.ended: int | None = None
        self.since = self.heard = time.monotonic()
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log.open("wb")
        here, there = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.train.worker", "--job", str(job), f"--voice={there}"],
            env=dict(environment),
            stdin=subprocess.PIPE,  # its end tells the worker that the launcher has gone
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[there],
            start_new_session=True,  # Ctrl-C reaches it through the launcher, once
        )
        os.close(there)
        self.streams: dict[int, bytes] = {}
        self._files: dict[str, IO[bytes]] = {"voice": os.fdopen(here, "rb", buffering=0)}
        self._files |= {"out": _given(self._process.stdout), "err": _given(self._process.stderr)}
        for file in self._files.values():
            os.set_blocking(file.fileno(), False)

    @property
    def open_files(self) -> dict[str, IO[bytes]]:
        """Pipes by name (voice, out, err) that have not ended."""
        return {name: file for name, file in self._files.items() if not file.closed}

    def read(self, name: str) -> Iterator[dict[str, Any]]:
        """Takes whole lines from the pipe: prints and logs them, yields facts from the voice."""
        file = self._files[name]
        data = file.read()
        if data == b"":
            file.close()
        *lines, rest = (self.streams.get(id(file), b"") + (data or b"")).split(b"\n")
        if file.closed and rest:
            lines.append(rest)
        self.streams[id(file)] = rest
        for line in lines:
            if name == "voice":
                yield self._heard(json.loads(line))
            else:
                self._print(name, line)

    def _heard(self, facts: dict[str, Any]) -> dict[str, Any]:
        self.heard = time.monotonic()
        self.state = facts.get("state", self.state)
        self.error = facts.get("error", self.error)
        return facts

    def _print(self, name: str, line: bytes) -> None:
        self._log.write(line + b"\n")
        self._log.flush()
        text = line.decode("utf-8", "replace")
        if name == "err":
            print(f"[worker {self.index}] {text}", file=sys.stderr, flush=True)
        elif self.index == 0:  # the stage's own words
            print(text, flush=True)

    def poll(self) -> None:
        """Notes whether it has ended."""
        self.ended = self._process.poll()

    def ask_to_stop(self) -> None:
        """Sends SIGTERM, upon which a training worker saves and leaves with the others."""
        if self._process.poll() is None:
            self._process.terminate()

    @property
    def is_stopped(self) -> bool:
        """Whether it is held by a signal or a debugger."""
        with contextlib.suppress(psutil.Error):
            return psutil.Process(self._process.pid).status() in _HELD
        return False

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

    def __enter__(self) -> WorkerProcess:
        """The worker itself."""
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Ends it: what it has to save is saved by now."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        _given(self._process.stdin).close()
        for name, file in list(self._files.items()):
            if not file.closed:
                for _ in self.read(name):
                    pass
                file.close()
        self._log.close()


def _given(file: IO[bytes] | None) -> IO[bytes]:
    if file is None:
        raise RuntimeError("a pipe that was asked for is not there")
    return file


def attend(
    workers: list[WorkerProcess], timeout_seconds: float
) -> Iterator[tuple[WorkerProcess, dict[str, Any]]]:
    """Waits for the next words of any worker; yields the facts, and notes who has ended."""
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            for name, file in worker.open_files.items():
                selector.register(file, selectors.EVENT_READ, (worker, name))
        if selector.get_map():
            for key, _ in selector.select(timeout_seconds):
                worker, name = key.data
                for facts in worker.read(name):
                    yield worker, facts
        else:
            time.sleep(timeout_seconds)
    for worker in workers:
        worker.poll()
