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
from pipeline.core.program import Line


@dataclass(frozen=True)
class Words:
    """What a program has said since it was last heard.

    Attributes:
        lines: Stream and line of each.
        ended: Its exit code, negative for a signal; None while it runs.
        refused: Why it was not started; empty where it was.
    """

    lines: tuple[Line, ...] = ()
    ended: int | None = None
    refused: str = ""


class Host:
    """Keeps one program; Ray makes an actor of it."""

    def __init__(self) -> None:
        self._port = socket.socket()
        self._child: Child | None = None
        self._refused = ""

    def address(self) -> str:
        """`host:port` of this node, a port that nobody uses until `start`."""
        host = _own_address()
        self._port.bind((host, 0))
        return f"{host}:{self._port.getsockname()[1]}"

    def start(
        self, arguments: Sequence[str], folder: Path, told: Mapping[str, str], needed: Path
    ) -> None:
        """Starts the program: this node's Python with `arguments`, in `folder`.

        Args:
            arguments: What follows the interpreter; see `Child`.
            folder: The project.
            told: Variables added to this node's environment.
            needed: A file there that the driver has just written; where this node does not see it,
                the two do not share the folder, and nothing is started.
        """
        self._port.close()
        if needed.is_file():
            environment = {**os.environ, **told}
            self._child = Child([sys.executable, *arguments], environment, folder)
        else:
            self._refused = f"node {_own_address()} does not see {needed}"

    def hear(self, timeout_seconds: float) -> Words:
        """Waits until it speaks or ends."""
        if self._child is None:
            return Words(refused=self._refused)
        lines = tuple((stream, line) for _, stream, line in listen([self._child], timeout_seconds))
        return Words(lines, self._child.ended)

    def say(self, line: str) -> None:
        """Tells it a line."""
        if self._child:
            self._child.say(line)

    def ask_to_stop(self) -> None:
        """Sends it SIGTERM."""
        if self._child:
            self._child.ask_to_stop()

    def end(self) -> list[Line]:
        """Kills it where it still runs; returns its last lines."""
        return self._child.end() if self._child else []


def _own_address() -> str:
    import ray

    return str(ray.util.get_node_ip_address())
