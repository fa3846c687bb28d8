"""Atomic publishing: write aside, fsync, rename. A reader never sees half a file or folder.

The temporary name starts with a dot and stays in the target's own folder, because `rename` is
atomic only inside one file system (POSIX rename(2)).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.core.errors import BusyError
from pipeline.core.processes import lives

ASIDE_PREFIX = ".aside-"


def _aside(target: Path) -> Path:
    return target.parent / f"{ASIDE_PREFIX}{target.name}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _clear_leftovers(target: Path) -> None:
    """Removes what a killed writer of the same target left aside; a live writer's is kept."""
    for leftover in target.parent.glob(f"{ASIDE_PREFIX}{target.name}-*"):
        pid = leftover.name.rsplit("-", 2)[-2]
        if pid.isdigit() and not lives(int(pid)):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)


@contextmanager
def publish_file(target: Path) -> Iterator[Path]:
    """Yields a path aside; on a clean exit it becomes `target` in one step, else it vanishes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _clear_leftovers(target)
    aside = _aside(target)
    try:
        yield aside
        _sync(aside)
        aside.replace(target)
        _sync(target.parent)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def publish_folder(target: Path) -> Iterator[Path]:
    """Yields an empty folder aside; on a clean exit it takes the place of `target`.

    An existing `target` is moved aside first and removed afterwards, so the moment without a
    target is one rename long.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    _clear_leftovers(target)
    aside = _aside(target)
    aside.mkdir()
    try:
        yield aside
        for path in aside.rglob("*"):
            if path.is_file():
                _sync(path)
        if target.exists():
            previous = _aside(target)
            target.rename(previous)
            aside.rename(target)
            shutil.rmtree(previous)
        else:
            aside.rename(target)
        _sync(target.parent)
    finally:
        if aside.exists():
            shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def exclusive(lock: Path, what: str, wait_seconds: float = 0.0) -> Iterator[None]:
    """Holds an exclusive lock on the file `lock` while the block runs.

    The kernel drops the lock when the holder dies, however it dies (flock(2)).

    Args:
        lock: The lock file; created where it does not exist, never removed.
        what: What is locked, for the message.
        wait_seconds: How long to wait for another holder before giving up.

    Raises:
        BusyError: Another process holds the lock; its process id is in the message.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+") as file:
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    file.seek(0)
                    holder = file.read().strip() or "unknown"
                    raise BusyError(
                        f"{what} is in use by process {holder}",
                        remedy="wait until it has ended, or end it, then run this again",
                    ) from None
                time.sleep(0.05)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
