"""Memory that is not there, told with what can be done about it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from pipeline.core.errors import PipelineError


@contextlib.contextmanager
def explaining_memory() -> Iterator[None]:
    """Within the block, an allocation that fails in Python, NumPy or TensorFlow says what to do.

    Raises:
        PipelineError: One has failed.
    """
    try:
        yield
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        # Of a graph's error the first line says that it is one, a later one what was asked for.
        what = next((line for line in said if "OOM" in line), said[0])
        raise PipelineError(
            f"out of memory: {what}",
            remedy="lower train.global_batch_size, raise train.gradient_accumulation, use fewer"
            " workers, set train.input=stream, or take a smaller model",
        ) from error
