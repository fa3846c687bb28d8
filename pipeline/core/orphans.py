"""No process outlives the one that started it."""

from __future__ import annotations

import contextlib
import ctypes
import signal

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Asks the kernel for SIGTERM when the parent dies (Linux prctl(2), PR_SET_PDEATHSIG).

    A killed `dvc repro` would leave its stage writing beside the next one. Elsewhere than on
    Linux nothing happens: the stage's lock still keeps two of them apart.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
