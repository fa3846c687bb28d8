"""Programs that were started here or on a cluster, seen alike by whoever started them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

VOICE, OUT, ERR = "voice", "out", "err"
"""Streams of a program: its lines for whoever started it, standard output, standard error."""

Line: TypeAlias = tuple[str, str]
"""A stream's name and what was said on it, without the line's end."""


class Program(Protocol):
    """One program.

    Attributes:
        ended: Its exit code, negative for a signal; None while it runs or has more to say.
        lost: Why it can be heard no more, such as a node that is gone; empty where it can.
    """

    ended: int | None
    lost: str

    @property
    def is_held(self) -> bool:
        """Whether a signal or a debugger holds it, as far as can be seen from here."""

    def say(self, line: str) -> None:
        """Tells it a line; that it has died is noticed when it is heard next."""

    def ask_to_stop(self) -> None:
        """Sends it SIGTERM."""

    def end(self) -> list[Line]:
        """Kills it where it still runs; returns its last lines."""


Listen: TypeAlias = Callable[[Sequence[Any], float], Iterator[tuple[Any, str, str]]]
"""Waits at most so many seconds until one of the programs speaks or ends; yields program, stream
and line, and notes who has ended or is lost once all they said is yielded."""
