"""A program of this machine, started with pipes for what it prints and a socket for its voice."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from pipeline.core.program import ERR, OUT, VOICE, Line

_BLOCK_BYTES = 1 << 16
_REAP_SECONDS = 0.05
_HELD = (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)


class Child:
    """Starts the program; see `Program`.

    Args:
        command: The program; the descriptor of its voice is added as the last argument. The voice
            is a socket, on which it tells lines and is told some.
        environment: Its whole environment.
        folder: Its working folder; None for this process's own.

    Attributes:
        ended: See `Program`.
        lost: Never.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], folder: Path | None = None
    ) -> None:
        self.ended: int | None = None
        self.lost = ""
        self._voice, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C reaches it through whoever started it, once
            )
        self._open = {VOICE: self._voice.fileno()}
        for name, pipe in ((OUT, self._process.stdout), (ERR, self._process.stderr)):
            if pipe is None:
                raise RuntimeError("a pipe that was asked for is not there")
            self._open[name] = pipe.fileno()
        self._rest = dict.fromkeys(self._open, b"")
        for descriptor in self._open.values():
            os.set_blocking(descriptor, False)

    @property
    def streams(self) -> dict[str, int]:
        """Descriptors by name (voice, out, err) of what has not ended."""
        return dict(self._open)

    def read(self, name: str) -> Iterator[str]:
        """Whole lines of a stream, without waiting; what it ends with may lack its line's end."""
        try:
            data = os.read(self._open[name], _BLOCK_BYTES)
        except BlockingIOError:
            return
        except ConnectionResetError:  # it has died, and had not read all that was said to it
            data = b""
        *lines, self._rest[name] = (self._rest[name] + data).split(b"\n")
        if not data:
            del self._open[name]
            lines += [self._rest[name]] if self._rest[name] else []
        for line in lines:
            yield line.decode("utf-8", "replace")

    def poll(self) -> int | None:
        """Its exit code, once it has ended; there may be more to read."""
        return self._process.poll()

    @property
    def is_held(self) -> bool:
        """See `Program.is_held`."""
        with contextlib.suppress(psutil.Error):
            return psutil.Process(self._process.pid).status() in _HELD
        return False

    def say(self, line: str) -> None:
        """See `Program.say`."""
        try:
            self._voice.sendall(line.encode("utf-8") + b"\n")
        except OSError:
            return

    def ask_to_stop(self) -> None:
        """See `Program.ask_to_stop`."""
        if self._process.poll() is None:
            self._process.terminate()

    def end(self) -> list[Line]:
        """See `Program.end`."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        last = [(name, line) for name in self.streams for line in self._left(name)]
        for file in (self._voice, self._process.stdout, self._process.stderr):
            if file is not None:
                file.close()
        self._open.clear()
        self.ended = self._process.returncode
        return last

    def _left(self, name: str) -> Iterator[str]:
        """What a process that has ended left in a pipe; its own children may hold it open."""
        while name in self._open:
            before = len(self._rest[name])
            lines = list(self.read(name))
            yield from lines
            if not lines and len(self._rest[name]) == before:
                return


def listen(children: Sequence[Child], timeout_seconds: float) -> Iterator[tuple[Child, str, str]]:
    """See `Listen`."""
    gone = [child for child in children if child.ended is None and child.poll() is not None]
    with selectors.DefaultSelector() as selector:
        for child in children:
            for name, descriptor in child.streams.items():
                selector.register(descriptor, selectors.EVENT_READ, (child, name))
        if selector.get_map():
            ready = selector.select(0 if gone else timeout_seconds)
        else:  # all streams have ended, the processes are about to
            ready = []
            time.sleep(0 if gone else min(timeout_seconds, _REAP_SECONDS))
    for key, _ in ready:
        child, name = key.data
        for line in child.read(name):
            yield child, name, line
    for child in gone:
        for name, line in child.end():
            yield child, name, line
