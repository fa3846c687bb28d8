"""Batching parameters: how rows of several callers are run together.

The file, its defaults and its checks are those of TensorFlow Serving's `BatchingParameters`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.core.errors import ConfigError
from pipeline.serve.config_protos import BATCHING, read_text_proto

PER_MODEL_FILE = "batching_params.pbtxt"
"""Parameters of one version, in its folder, where per-model parameters are asked for."""


@dataclass(frozen=True)
class Batching:
    """How the batches are made.

    Attributes:
        max_batch_size: Most rows of one request, and of one batch unless large ones are split.
        timeout_micros: Microseconds that a batch waits to be filled; 0 runs what is there.
        max_enqueued_batches: Batches that may wait; a request beyond is refused (UNAVAILABLE).
        threads: Batches that run at a time.
        allowed_sizes: Sizes that batches are filled up to, rising; empty: any.
        split: Whether a request larger than `max_execution_size` is spread over batches.
        max_execution_size: Most rows of one batch where large requests are split.
    """

    max_batch_size: int = 1000
    timeout_micros: int = 0
    max_enqueued_batches: int = 10
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    allowed_sizes: tuple[int, ...] = ()
    split: bool = False
    max_execution_size: int = 1000

    @property
    def largest_batch(self) -> int:
        """Most rows that run together."""
        return self.max_execution_size if self.split else self.max_batch_size


def read_batching(path: Path) -> Batching:
    """Reads a BatchingParameters file.

    Raises:
        PipelineError: It cannot be read.
        ConfigError: It is no such file, or a value is out of range.
    """
    proto = read_text_proto(path, BATCHING)
    plain = Batching()
    split = bool(proto.enable_large_batch_splitting.value)
    most = _value(proto, "max_batch_size", plain.max_batch_size)
    batching = Batching(
        max_batch_size=most,
        timeout_micros=_value(proto, "batch_timeout_micros", plain.timeout_micros),
        max_enqueued_batches=_value(proto, "max_enqueued_batches", plain.max_enqueued_batches),
        threads=_value(proto, "num_batch_threads", plain.threads),
        allowed_sizes=tuple(proto.allowed_batch_sizes),
        split=split,
        max_execution_size=_value(proto, "max_execution_batch_size", most),
    )
    _check(batching, path)
    return batching


def _value(proto: Any, name: str, default: int) -> int:
    return int(getattr(proto, name).value) if proto.HasField(name) else default


def _check(batching: Batching, path: Path) -> None:
    smallest = {
        "max_batch_size": (batching.max_batch_size, 1),
        "batch_timeout_micros": (batching.timeout_micros, 0),
        "max_enqueued_batches": (batching.max_enqueued_batches, 0),
        "num_batch_threads": (batching.threads, 1),
        "max_execution_batch_size": (batching.max_execution_size, 1),
    }
    for name, (value, least) in smallest.items():
        if value < least:
            raise ConfigError(f"{path}: {name} is {value}", f"{least} or more")
    if batching.split and batching.max_execution_size > batching.max_batch_size:
        raise ConfigError(
            f"{path}: max_execution_batch_size is {batching.max_execution_size}",
            f"max_batch_size ({batching.max_batch_size}) at most",
        )
    sizes = batching.allowed_sizes
    if not sizes:
        return
    if list(sizes) != sorted(set(sizes)) or sizes[0] < 1:
        raise ConfigError(f"{path}: allowed_batch_sizes is {list(sizes)}", "rising numbers above 0")
    if sizes[-1] != batching.largest_batch:
        raise ConfigError(
            f"{path}: Last entry in allowed_batch_sizes must match max_batch_size; "
            f"last entry was {sizes[-1]}; expected {batching.largest_batch}"
        )
