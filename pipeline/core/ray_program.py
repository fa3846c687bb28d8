"""Programs on the nodes of a Ray cluster, as their driver sees them (see `ray_host`)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.core.errors import PipelineError
from pipeline.core.program import Line
from pipeline.core.ray_cluster import Room, reason_of
from pipeline.core.ray_host import Host, Words

_END_SECONDS = 10.0


class Remote:
    """A program on a node of the cluster, as its driver sees it; see `Program`.

    Args:
        room: What it may use.
        place: Where: a scheduling strategy of Ray.

    Attributes:
        actor: Handle of its `Host`.
        ended: See `Program`.
        lost: See `Program`.
    """

    def __init__(self, room: Room, place: Any) -> None:
        import ray

        options = {"num_cpus": room.cpus, "num_gpus": room.gpus, "scheduling_strategy": place}
        self.actor = ray.remote(Host).options(**options).remote()
        self.ended: int | None = None
        self.lost = ""
        self._started: Any = None
        self._asked: Any = None

    def start(
        self, arguments: Sequence[str], folder: Path, told: Mapping[str, str], needed: Path
    ) -> None:
        """Starts it as soon as its actor has a place; see `Host.start`."""
        self._started = self.actor.start.remote(list(arguments), folder, dict(told), needed)

    @property
    def placed(self) -> bool:
        """Whether its actor has found a place, or had one."""
        import ray

        return bool(ray.wait([self._started], timeout=0)[0])

    @property
    def is_held(self) -> bool:
        """Never: it is on another machine."""
        return False

    def say(self, line: str) -> None:
        """See `Program.say`."""
        self.actor.say.remote(line)

    def ask_to_stop(self) -> None:
        """See `Program.ask_to_stop`."""
        self.actor.ask_to_stop.remote()

    def asked(self, timeout_seconds: float) -> Any:
        """A reference to its next words, asked for if they were not."""
        if self._asked is None:
            self._asked = self.actor.hear.remote(timeout_seconds)
        return self._asked

    def heard(self) -> Iterator[Line]:
        """The lines that it was asked for; then notes whether it has ended.

        Raises:
            PipelineError: Its node does not see the project's folder.
        """
        import ray

        try:
            words: Words = ray.get(self._asked)
            self._asked = None
        except ray.exceptions.RayActorError as error:
            self.lost = f"its node, or its actor there, is gone ({type(error).__name__})"
            return
        if words.refused:
            raise PipelineError(
                words.refused,
                expected="the project under the same path on every node, on a shared disk",
                remedy="mount it there, and run this from it",
            )
        yield from words.lines
        self.ended = words.ended

    def end(self) -> list[Line]:
        """See `Program.end`."""
        import ray

        last: list[Line] = []
        if not self.lost and self._started is not None and self.placed:
            with contextlib.suppress(ray.exceptions.RayError, TimeoutError):
                last = ray.get(self.actor.end.remote(), timeout=_END_SECONDS)
        ray.kill(self.actor)
        return last


def listen(programs: Sequence[Remote], timeout_seconds: float) -> Iterator[tuple[Remote, str, str]]:
    """See `Listen`."""
    import ray

    running = [one for one in programs if one.ended is None and not one.lost]
    asked = {one.asked(timeout_seconds): one for one in running}
    ready, waiting = ray.wait(list(asked), num_returns=1, timeout=timeout_seconds)
    if waiting:
        more, _ = ray.wait(waiting, num_returns=len(waiting), timeout=0)
        ready += more
    for reference in ready:
        for stream, line in asked[reference].heard():
            yield asked[reference], stream, line


def addresses(programs: Sequence[Remote], timeout_seconds: float) -> tuple[str, ...]:
    """`host:port` for each program that is not started yet, where it may listen.

    Raises:
        PipelineError: An actor does not start.
    """
    import ray

    try:
        asked = [one.actor.address.remote() for one in programs]
        return tuple(ray.get(asked, timeout=timeout_seconds))
    except (ray.exceptions.RayError, TimeoutError) as error:
        raise PipelineError(
            f"an actor of Ray did not start: {reason_of(error)}",
            expected="this project and its packages on every node, at the same versions",
            remedy="install the project there, or start Ray from the same environment on each node",
        ) from error
