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
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.core.program import VOICE, Listen, Program

Message = Mapping[str, Any]

_TICK_SECONDS = 1.0


class Worker:
    """One such process.

    Args:
        program: What was started.
        log: Where what it prints goes.
    """

    def __init__(self, program: Program, log: Path) -> None:
        self.program = program
        self.log = log

    def send(self, message: Message) -> None:
        """Says something; a worker that has died is noticed when it is heard next."""
        self.program.say(json.dumps(message))

    def take(self, stream: str, line: str) -> Message | None:
        """Logs what it printed; returns what it said."""
        if stream != VOICE:
            with self.log.open("a", encoding="utf-8") as log:
                log.write(line + "\n")
            return None
        message: Message = json.loads(line)
        return message

    @property
    def gone(self) -> bool:
        """Whether it has died."""
        return self.program.ended is not None or bool(self.program.lost)

    def death(self) -> str:
        """How it died, in words."""
        if self.program.lost:
            return self.program.lost
        code = self.program.ended or 0
        if code == -signal.SIGKILL:
            return "its process was killed (out of memory?)"
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"its process died ({how}); its last words are in {self.log}"


@dataclass
class Crew:
    """Workers of one search.

    Attributes:
        folder: Where their log goes.
        size: How many at once.
        start: Starts the program of one.
        listen: Hears such programs.
        idle: Those that wait for a trial.
        busy: Those that start or train.
    """

    folder: Path
    size: int
    start: Callable[[], Program]
    listen: Listen
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
                worker.program.end()

    def hire(self) -> None:
        """Starts one worker; it is busy until it has said that it is ready."""
        self.busy.append(Worker(self.start(), self.folder / "workers.log"))

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
        worker.program.end()

    def speaking(self) -> Iterator[tuple[Worker, Message | None]]:
        """Waits a while for words; what each worker says, None from one that has died."""
        workers = {worker.program: worker for worker in self.busy}
        for program, stream, line in self.listen(list(workers), _TICK_SECONDS):
            message = workers[program].take(stream, line)
            if message is not None:
                yield workers[program], message
        for worker in workers.values():
            if worker.gone and worker in self.busy:
                yield worker, None
