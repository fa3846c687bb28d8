"""Processes that train one trial after another, each on the table it has encoded once.

Protocol, over a pair of sockets, one JSON line each way in turn. The worker begins:

    {"ready": {"metrics": [...]}}      or {"refused": TEXT}, and it ends
    <- {"params": {...}}               the composed config of a trial
    {"epoch": {"epoch": 0, ...}}       after each epoch
    <- {"go_on": true}                 false gives the trial up
    {"done": {"kept": {...}, "epochs": N, "seconds": S}}, {"pruned": {}} or {"failed": TEXT}

Either side that dies ends the other.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.core.runtime import usable_cores

Message = Mapping[str, Any]


class Worker:
    """One such process.

    Args:
        command: The program; the number of its socket is added as the last argument.
        root: The project, its working folder.
        log: Where what it prints goes.
        environment: Variables added to this process's own.
    """

    def __init__(
        self, command: Sequence[str], root: Path, log: Path, environment: Mapping[str, str]
    ) -> None:
        self.log = log
        self.socket, theirs = socket.socketpair()
        with theirs, log.open("ab") as output:
            self.process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                cwd=root,
                env={**os.environ, **environment},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the search, which ends its workers
            )
        self.lines = self.socket.makefile("r", encoding="utf-8")

    def fileno(self) -> int:
        """Lets `select` wait for it."""
        return self.socket.fileno()

    def send(self, message: Message) -> None:
        """Says something; a worker that has died is noticed when it is heard next."""
        try:
            self.socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            return

    def hear(self) -> Message | None:
        """What it says next; None when it has died."""
        try:
            line = self.lines.readline()
        except OSError:
            line = ""
        message: Message | None = json.loads(line) if line.endswith("\n") else None
        return message

    def death(self) -> str:
        """How it died, in words."""
        code = self.process.wait()
        if code == -signal.SIGKILL:
            return "its process was killed (out of memory?)"
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"its process died ({how}); its last words are in {self.log}"

    def end(self) -> None:
        """Ends the process, now."""
        self.process.kill()
        self.process.wait()
        self.lines.close()
        self.socket.close()


@dataclass
class Crew:
    """Workers of one search.

    Attributes:
        command: The program of each.
        root: The project.
        folder: Where their logs go.
        size: How many at once.
        idle: Those that wait for a trial.
        busy: Those that start or train.
    """

    command: Sequence[str]
    root: Path
    folder: Path
    size: int
    idle: list[Worker] = field(default_factory=list)
    busy: list[Worker] = field(default_factory=list)

    @contextmanager
    def at_work(self) -> Iterator[Crew]:
        """Starts the workers, and ends them with the block, however it ends."""
        try:
            for _ in range(self.size):
                self.hire()
            yield self
        finally:
            for worker in (*self.idle, *self.busy):
                worker.end()

    def hire(self) -> None:
        """Starts one worker; it is busy until it has said that it is ready."""
        threads = str(max(1, usable_cores() // self.size))
        environment = {
            "TF_NUM_INTRAOP_THREADS": threads,
            "TF_NUM_INTEROP_THREADS": threads,
            # Several processes share a GPU only where none takes all of its memory at once.
            **({"TF_FORCE_GPU_ALLOW_GROWTH": "true"} if self.size > 1 else {}),
        }
        log = self.folder / "workers.log"
        self.busy.append(Worker(self.command, self.root, log, environment))

    def set_idle(self, worker: Worker) -> None:
        """The worker waits for a trial."""
        self.busy.remove(worker)
        self.idle.append(worker)

    def give(self, worker: Worker, params: Mapping[str, Any]) -> None:
        """Gives an idle worker a trial."""
        self.idle.remove(worker)
        self.busy.append(worker)
        worker.send({"params": params})

    def dismiss(self, worker: Worker) -> None:
        """Forgets a worker that has died."""
        self.busy.remove(worker)
        worker.end()

    def speaking(self) -> Iterator[tuple[Worker, Message | None]]:
        """Waits until someone speaks; what each of them says, None from one that has died."""
        ready, _, _ = select.select(self.busy, [], [])
        for worker in ready:
            yield worker, worker.hear()
