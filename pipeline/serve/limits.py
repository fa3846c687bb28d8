"""Runs that end when nobody waits for them any more."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import tensorflow as tf

from pipeline.core.session import Array, SavedModelSession

NEVER = float("inf")
"""The deadline of a run that may take as long as it takes."""

_LONG_SECONDS = 0.05
_LIMITS_MS = tuple(250 * 2**power for power in range(9))
"""Few, because TensorFlow prepares the graph once more for each."""


class LimitedSession:
    """Stops runs at their deadline, or somewhat later.

    TensorFlow can stop a run between two ops, and only one that runs in its own threads, which
    costs a small model more than its ops. So only what took long the last time is run so.

    Args:
        session: Runs.
    """

    def __init__(self, session: SavedModelSession) -> None:
        self._session = session
        self._seconds: dict[str, float] = {}

    def run(
        self, feeds: Mapping[str, Array], fetches: Sequence[str], deadline: float = NEVER
    ) -> list[Array]:
        """Runs the graph once; see `SavedModelSession.run`.

        Args:
            feeds: See there.
            fetches: See there.
            deadline: By `time.monotonic`.

        Raises:
            tf.errors.OpError: An op refused; DEADLINE_EXCEEDED where the deadline has passed, or
                passed during a run that is known to take long.
        """
        begin = time.monotonic()
        if begin > deadline:
            raise tf.errors.DeadlineExceededError(None, None, "the time limit passed in the queue")
        limit = _limit_ms(deadline - begin) if self.takes_long(fetches) else 0
        results = self._session.run(feeds, fetches, limit)
        self._seconds[_first(fetches)] = time.monotonic() - begin
        return results

    def takes_long(self, fetches: Sequence[str]) -> bool:
        """Whether the last run for these tensors took long."""
        return self._seconds.get(_first(fetches), 0) > _LONG_SECONDS


def _first(fetches: Sequence[str]) -> str:
    return fetches[0] if fetches else ""


def _limit_ms(seconds: float) -> int:
    """The smallest limit that is not below; 0, none at all, beyond the largest."""
    return next((limit for limit in _LIMITS_MS if limit >= 1000 * seconds), 0)
