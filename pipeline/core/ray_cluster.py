"""Programs on a Ray cluster: joining or starting one, finding room, and hearing what they say.

Only Ray's core is used: actors (`ray_host.Host`) and placement groups. A Ray of our own lasts as
long as the block that starts it, listens on loopback only and reports to nobody.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import signal
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import ConfigError, PipelineError
from pipeline.core.program import Line
from pipeline.core.ray_host import Host, Words
from pipeline.core.runtime import usable_cores

_OBJECT_STORE_BYTES = 80_000_000
_CALL_SECONDS = 10.0
_END_SECONDS = 10.0


def require_ray() -> None:
    """Makes sure that Ray is installed.

    Raises:
        ConfigError: It is not.
    """
    if importlib.util.find_spec("ray") is None:
        raise ConfigError(
            "launcher=ray, but Ray is not installed",
            expected="Ray, here and on every node",
            remedy="pip install 'train-to-serve[ray]', or use launcher=local",
        )


@dataclass(frozen=True)
class Room:
    """What is asked of a cluster.

    Attributes:
        programs: How many.
        cpus: Of each.
        gpus: Of each.
        placement: pack (as few nodes as can be) or spread (as many).
    """

    programs: int
    cpus: float
    gpus: int
    placement: str

    @property
    def bundle(self) -> dict[str, float]:
        """What one program asks, in Ray's words."""
        return {"CPU": self.cpus, **({"GPU": self.gpus} if self.gpus else {})}

    def __str__(self) -> str:
        """In words."""
        gpus = f" and {self.gpus} GPU" if self.gpus else ""
        return f"{self.programs} x {self.cpus:g} CPU{gpus}"


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Within the block, this process drives a Ray cluster.

    Args:
        address: `host:port`, `ray://host:port` or `auto` of one that runs; None starts one on this
            machine and stops it with the block.

    Raises:
        ConfigError: Ray is not installed.
        PipelineError: There is no cluster at `address`, or Ray does not start.
    """
    require_ray()
    with contextlib.ExitStack() as stack:
        if address is None:
            folder = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True)
            )
            options = _of_our_own(folder)
        else:
            _require_listening(address)
            options = {"address": address}
        import ray

        before = signal.getsignal(signal.SIGTERM)
        stack.callback(ray.shutdown)
        try:
            ray.init(log_to_driver=False, logging_level="error", **options)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise _unreachable(address, error) from error
        finally:
            with contextlib.suppress(ValueError):  # not the main thread
                signal.signal(signal.SIGTERM, before)  # Ray has set its own
        yield


def _of_our_own(folder: str) -> dict[str, Any]:
    """Options of `ray.init`, and the variables that its processes read, where not set by hand."""
    here = {
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray's switch for firewalls of desktops: off, it takes 127.0.0.1 for its node's address.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        # Others on this machine reach loopback too. From 2.60 on Ray asks for a token, and would
        # write one into the home folder.
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
    for name, value in here.items():
        os.environ.setdefault(name, value)
    return {
        "address": "local",  # not a cluster that someone else has left running
        "num_cpus": usable_cores(),
        "include_dashboard": False,
        "object_store_memory": _OBJECT_STORE_BYTES,
        "_temp_dir": folder,
    }


def _require_listening(address: str) -> None:
    """Ray itself tries an address where nobody listens for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host:  # auto: Ray knows where
        return
    try:
        socket.create_connection((host, int(port)), timeout=_CALL_SECONDS).close()
    except OSError as error:
        raise _unreachable(address, error) from error


def _unreachable(address: str | None, error: Exception) -> PipelineError:
    reason = _reason(error)
    if address is None:
        return PipelineError(
            f"Ray does not start on this machine: {reason}",
            remedy="use launcher=local, or name a cluster that runs with launcher.address",
        )
    return PipelineError(
        f"there is no Ray cluster at launcher.address={address}: {reason}",
        expected="`auto` on a node of the cluster, its head's host:6379, or ray://HEAD:10001 from"
        " outside; the same versions of Ray and Python; its token in RAY_AUTH_TOKEN_PATH",
        remedy="`ray status` says whether it runs; launcher.address=null starts one here",
    )


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

        asked, self._asked = self._asked, None
        try:
            words: Words = ray.get(asked)
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


@contextlib.contextmanager
def reserved(room: Room, address: str | None, timeout_seconds: float) -> Iterator[list[Any]]:
    """Reserves room for all programs at once; yields the place of each, for `Remote`.

    Args:
        room: How much.
        address: As for `connected`.
        timeout_seconds: How long to wait for room.

    Raises:
        PipelineError: The cluster has no room.
    """
    import ray
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    if address is None:
        require_room(room)
    group = ray.util.placement_group([room.bundle] * room.programs, room.placement.upper())
    try:
        if not group.wait(timeout_seconds):
            raise no_room(room, timeout_seconds)
        yield [
            PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=index)
            for index in range(room.programs)
        ]
    finally:
        ray.util.remove_placement_group(group)


def require_room(room: Room) -> None:
    """In a Ray of our own, which does not grow: room that is not there will never be.

    Raises:
        PipelineError: There is not enough.
    """
    import ray

    has = ray.cluster_resources()
    if any(room.programs * needed > has.get(name, 0) for name, needed in room.bundle.items()):
        raise no_room(room, 0)


def no_room(room: Room, waited_seconds: float) -> PipelineError:
    """What was asked, what there is, what to do."""
    import ray

    nodes = sum(node["Alive"] for node in ray.nodes())
    waited = f" after {waited_seconds:g} s" if waited_seconds else ""
    return PipelineError(
        f"the Ray cluster has no room for {room}{waited}",
        expected=f"that much free; its {nodes} {'node has' if nodes == 1 else 'nodes have'}"
        f" {_resources(ray.cluster_resources())}, free now:"
        f" {_resources(ray.available_resources())}",
        remedy="ask for less (launcher.workers or tune.jobs, launcher.cpus_per_worker,"
        " launcher.gpus_per_worker), add nodes, or wait longer for other jobs"
        " (launcher.start_timeout_seconds)",
    )


def _resources(has: Mapping[str, float]) -> str:
    return f"{has.get('CPU', 0):g} CPU and {has.get('GPU', 0):g} GPU"


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
            f"an actor of Ray did not start: {_reason(error)}",
            expected="this project and its packages on every node, at the same versions",
            remedy="install the project there, or start Ray from the same environment on each node",
        ) from error


def _reason(error: Exception) -> str:
    """The last line of Ray's message that says anything: the first one names its own files."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
