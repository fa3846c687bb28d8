"""Trying again what may succeed the next time, with growing pauses, and nothing else."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

_LONGEST_PAUSE_SECONDS = 5.0


class Passing(Exception):  # noqa: N818 - not an error of ours: the last one is told otherwise
    """The server is busy, starting or out of reach: the same request may succeed later."""


@dataclass(frozen=True)
class Patience:
    """How long a client waits and how often it tries.

    Attributes:
        timeout_seconds: Longest wait for one answer.
        retries: Further tries after a failure that may pass.
        pause_seconds: First pause; each further one is twice as long, up to 5 s.
    """

    timeout_seconds: float = 30.0
    retries: int = 4
    pause_seconds: float = 0.2

    def call(self, ask: Callable[[], T]) -> T:
        """Calls `ask` until it returns.

        Raises:
            Passing: It still failed in the last try.
        """
        for attempt in range(self.retries):
            try:
                return ask()
            except Passing:
                pause = min(self.pause_seconds * 2**attempt, _LONGEST_PAUSE_SECONDS)
                # Spread, so that many clients do not come back in the same moment.
                time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
        return ask()
