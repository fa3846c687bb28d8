"""TensorFlow's process-wide state: imported quietly, seeded, and left clean for the next stage.

Several stages may run one after another in one process, so whatever a stage changes here it
changes inside a `session()`, which puts it back.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_START_UP_NOISE = re.compile(
    r"cudart_stub|failed call to cuInit|before absl::InitializeLog|Unable to register cu"
    r"|computation_placer already registered|oneDNN custom operations|rebuild TensorFlow with"
)
"""Lines about GPUs that are not there and about builds; TF_CPP_MIN_LOG_LEVEL does not stop them."""


def quiet_tensorflow() -> None:
    """Imports TensorFlow and Keras without their start-up noise; later calls cost nothing.

    `TF_CPP_MIN_LOG_LEVEL=0` in the environment shows everything. Call it before anything else
    imports TensorFlow: what is set here is read once, at import.
    """
    level = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["KERAS_BACKEND"] = "tensorflow"  # a user's ~/.keras/keras.json may say another
    threads = str(usable_cores())
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", threads)
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", threads)
    if "tensorflow" in sys.modules:
        return
    with contextlib.nullcontext() if level == "0" else _without_noise(_START_UP_NOISE):
        import tensorflow as tf

        tf.config.list_physical_devices("GPU")  # looks for drivers, and complains, at first use


@contextlib.contextmanager
def _without_noise(noise: re.Pattern[str]) -> Iterator[None]:
    """Holds back what the block writes to standard error, then writes on all but `noise`.

    C++ writes to file descriptor 2, past Python's sys.stderr, so the descriptor is turned.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as caught:
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            _write_on(caught, noise)


def _write_on(caught: IO[str], noise: re.Pattern[str]) -> None:
    caught.seek(0)
    for line in caught:
        if not noise.search(line):
            sys.stderr.write(line)
    sys.stderr.flush()


def usable_cores() -> int:
    """Cores this process may use: its CPU affinity, and the quota of its container (cgroup 2).

    TensorFlow sees only the affinity; threads beyond a quota are stopped in mid-work.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # no cgroup 2, or the quota is "max"
        return cores


@contextlib.contextmanager
def session(seed: int) -> Iterator[None]:
    """Runs the block in a fresh Keras session, in float32, and leaves nothing of it behind.

    Args:
        seed: Seeds Python, NumPy and TensorFlow: initial weights, dropout, shuffles.
    """
    quiet_tensorflow()
    import keras

    policy, floats = keras.config.dtype_policy(), keras.config.floatx()
    keras.utils.clear_session()
    keras.config.set_floatx("float32")  # a user's ~/.keras/keras.json may say another
    keras.config.set_dtype_policy("float32")
    keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        keras.config.set_floatx(floats)
        keras.config.set_dtype_policy(policy)
        keras.utils.clear_session()


def require_determinism() -> None:
    """Has TensorFlow refuse or replace operations that add numbers in a random order.

    Only GPUs have such operations; on the CPU equal seeds and order give equal bits. The switch
    is for the whole process and has no way back, so it is thrown where it is needed only.
    """
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()


def reset_peak_memory() -> None:
    """Starts the process's peak memory anew, where the system can (Linux, proc(5) clear_refs)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory_bytes() -> int:
    """Peak resident memory of the process since the last reset."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
