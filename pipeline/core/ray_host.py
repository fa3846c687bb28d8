"""What runs on a node of a Ray cluster: an actor that starts one program and passes on its words.

The program is a process of its own, as it is without Ray: TensorFlow wants to be set up before its
first operation, and a program that is killed must not take its keeper with it.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.child import Child, listen


@dataclass(frozen=True)
class Words:
    """What a program has said since it was last heard.

    Attributes:
        lines: Pairs of stream (voice, out, err) and line.
        ended: Its exit code, negative for a signal; None while it runs.
        lost: Why it cannot be heard any more; empty where it can.
    """

    lines: tuple[tuple[str, str], ...] = ()
    ended: int | None = None
    lost: str = ""


class Host:
    """Keeps one program; Ray makes an actor of it."""

    def __init__(self) -> None:
        self._port = socket.socket()
        self._child: Child | None = None

    def address(self) -> str:
        """`host:port` of this node, a port that nobody uses until `start`."""
        import ray

        host = ray.util.get_node_ip_address()
        self._port.bind((host, 0))
        return f"{host}:{self._port.getsockname()[1]}"

    def sees(self, path: Path) -> bool:
        """Whether this node sees the file."""
        return path.is_file()

    def start(self, arguments: Sequence[str], folder: Path, told: Mapping[str, str]) -> None:
        """Starts the program: this node's Python with `arguments`, in `folder`.

        Args:
            arguments: What follows the interpreter; see `Child`.
            folder: The project.
            told: Variables added to this node's environment.
        """
        self._port.close()
        self._child = Child([sys.executable, *arguments], {**os.environ, **told}, folder)

    def hear(self, timeout_seconds: float) -> Words:
        """Waits until it speaks or ends."""
        child = self._started()
        lines = tuple((stream, line) for _, stream, line in listen([child], timeout_seconds))
        return Words(lines, child.ended)

    def say(self, line: str) -> None:
        """Tells it a line."""
        self._started().say(line)

    def ask_to_stop(self) -> None:
        """Sends it SIGTERM."""
        self._started().ask_to_stop()

    def end(self) -> Words:
        """Kills it where it still runs; returns its last words."""
        if self._child is None:
            return Words()
        return Words(tuple(self._child.end()), self._child.ended)

    def _started(self) -> Child:
        if self._child is None:
            raise RuntimeError("nothing was started here")
        return self._child
