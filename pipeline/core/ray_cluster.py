"""A Ray cluster: joining one or starting one of our own, and finding room for programs on it.

Only Ray's core is used: placement groups here, actors in `ray_program`. A Ray of our own lasts as
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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.core.console import say
from pipeline.core.errors import ConfigError, PipelineError
from pipeline.core.runtime import usable_cores

_OBJECT_STORE_BYTES = 80_000_000
_CALL_SECONDS = 10.0
_QUIET_SECONDS = 5.0


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
            stack.enter_context(_environment())
            options = _of_our_own(folder)
        else:
            _require_listening(address)
            options = {"address": address}
        import ray

        before = signal.getsignal(signal.SIGTERM)
        stack.callback(ray.shutdown)
        try:
            ray.init(log_to_driver=False, logging_level="error", **options)
        except (ray.exceptions.RayError, RuntimeError, ValueError, OSError) as error:
            raise _unreachable(address, error) from error
        finally:
            with contextlib.suppress(ValueError):  # not the main thread
                signal.signal(signal.SIGTERM, before)  # Ray has set its own
        yield


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """The variables that the processes of our own Ray read, where they are not set by hand."""
    # Others on this machine reach loopback too. From 2.60 on Ray asks for a token, and would write
    # one into the home folder. It remembers the first one of a process, so this one stays.
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    here = {
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray's switch for firewalls of desktops: off, it takes 127.0.0.1 for its node's address.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }
    missing = here.keys() - os.environ.keys()
    os.environ.update({name: here[name] for name in missing})
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)


def _of_our_own(folder: str) -> dict[str, Any]:
    """Options of `ray.init`."""
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
    reason = reason_of(error)
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
        if not group.wait(min(_QUIET_SECONDS, timeout_seconds)):
            say(f"waiting for room on the Ray cluster: {room}, for {timeout_seconds:g} s at most")
            if not group.wait(max(0.0, timeout_seconds - _QUIET_SECONDS)):
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


def reason_of(error: Exception) -> str:
    """The last line of Ray's message that says anything: the first one names its own files."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
