"""Which processes live, and that none outlives the one that started it."""

from __future__ import annotations

import contextlib
import ctypes
import signal

_PR_SET_PDEATHSIG = 1
_BIRTH_TOLERANCE_SECONDS = 5.0


def die_with_parent() -> None:
    """Asks the kernel for SIGTERM when the parent dies (Linux prctl(2), PR_SET_PDEATHSIG).

    A killed `dvc repro` would leave its stage writing beside the next one. Elsewhere than on
    Linux nothing happens: the stage's lock still keeps two of them apart.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def born(pid: int) -> float:
    """When the process started, in seconds since the epoch; 0 where none such runs.

    With the pid it names a process for good: pids are used again, births are not. A process that
    has ended but was never waited for (a container's first process often waits for nobody) keeps
    its pid and runs no more.
    """
    import psutil

    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        if process.status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}:
            return float(process.create_time())
    return 0.0


def lives(pid: int, birth: float | None = None) -> bool:
    """Whether `pid` runs; with `birth`, whether it is the process that was born then."""
    now = born(pid)
    return now > 0 and (birth is None or abs(now - birth) < _BIRTH_TOLERANCE_SECONDS)
