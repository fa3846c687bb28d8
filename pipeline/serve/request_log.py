"""The request log: what was asked, as lines of JSON, written beside the answering.

An answer never waits for the disk. A request leaves what it holds in a queue of bounded size and
goes on; a thread of its own makes JSON of it. Where it cannot keep up, or cannot write, requests
are missing from the log and counted, and nothing else happens.
"""

from __future__ import annotations

import argparse
import logging
import math
import random
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from pipeline.core.errors import PipelineError, UsageError
from pipeline.serve.request_lines import Array, Asked, line_of

log = logging.getLogger(__name__)

_WAITING_VALUES = 1_000_000
"""Values that may wait for the disk."""
_COMPLAIN_SECONDS = 60.0


@dataclass(frozen=True)
class RequestLogOptions:
    """What is logged, and where.

    Attributes:
        path: The file, with the ending `.jsonl`.
        sampling: Share of the requests that are logged, above 0 to 1.
        max_bytes: Size at which a new file is begun; older ones are `NAME.1.jsonl`, `NAME.2.jsonl`.
        files: How many files are kept, the newest.
        omit: Inputs and features that are never written.
    """

    path: Path
    sampling: float = 1.0
    max_bytes: int = 64 * 2**20
    files: int = 5
    omit: frozenset[str] = frozenset()


class RequestLog:
    """Writes until `close`.

    Args:
        options: What and where.

    Raises:
        PipelineError: The file cannot be written.
    """

    def __init__(self, options: RequestLogOptions) -> None:
        self.options = options
        self.dropped = 0
        """Requests that are not in the log for want of room or of a disk."""
        self._waiting: deque[Asked] = deque()
        self._values = 0
        self._changed = threading.Condition()
        self._closing = False
        self._complained = -math.inf
        try:
            options.path.parent.mkdir(parents=True, exist_ok=True)
            options.path.open("ab").close()
        except OSError as error:
            raise PipelineError(
                f"the request log {options.path} cannot be written: {error.strerror}",
                expected="a file in a folder that this user may write to",
                remedy="correct serve.request_log.file or --request_log",
            ) from error
        self._thread = threading.Thread(target=self._write_all, daemon=True, name="request log")
        self._thread.start()

    def record(
        self, model: str, version: int, content: Mapping[str, Array] | Sequence[bytes]
    ) -> None:
        """Takes note of a request; returns at once.

        Args:
            model: Who is asked.
            version: Which version of it.
            content: Arrays by the name of the input, or serialised tf.Examples; not changed
                afterwards.
        """
        options = self.options
        if options.sampling < 1 and random.random() >= options.sampling:  # noqa: S311  no secret
            return
        asked = Asked(time.time(), model, version, content)
        size = asked.values
        with self._changed:
            if self._closing or self._values + size > _WAITING_VALUES:
                self.dropped += 1
                return
            self._waiting.append(asked)
            self._values += size
            self._changed.notify()

    def close(self) -> None:
        """Writes what waits, then ends."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _write_all(self) -> None:
        while taken := self._taken():
            try:
                self._write([line_of(asked, self.options.omit) for asked in taken])
            except OSError as error:
                self._lose(len(taken), f"cannot be written: {error.strerror}")

    def _taken(self) -> list[Asked]:
        """Everything that waits; nothing at the end."""
        with self._changed:
            while not self._waiting and not self._closing:
                self._changed.wait()
            taken = list(self._waiting)
            self._waiting.clear()
            self._values = 0
            return taken

    def _write(self, lines: list[str]) -> None:
        text = "".join(lines).encode()
        path = self.options.path
        # The folder may have been deleted, or moved away as a whole, since the last line.
        path.parent.mkdir(parents=True, exist_ok=True)
        size = path.stat().st_size if path.exists() else 0
        if size and size + len(text) > self.options.max_bytes:
            rotate(path, self.options.files)
        with path.open("ab") as file:
            file.write(text)

    def _lose(self, count: int, why: str) -> None:
        self.dropped += count
        now = time.monotonic()
        if now - self._complained > _COMPLAIN_SECONDS:
            self._complained = now
            log.warning("the request log %s %s", self.options.path, why)


def rotate(path: Path, files: int) -> None:
    """Makes room for a new file: `a.jsonl` becomes `a.1.jsonl`, that `a.2.jsonl`, and so on.

    Args:
        path: The file that is full.
        files: How many are kept, the new one among them.
    """
    names = [path, *(path.with_suffix(f".{age}{path.suffix}") for age in range(1, files))]
    names[-1].unlink(missing_ok=True)
    for younger, older in reversed(list(pairwise(names))):
        if younger.exists():
            younger.replace(older)


def add_request_log_flags(group: argparse._ArgumentGroup) -> None:
    """Flags of this server alone."""
    add = group.add_argument
    add("--request_log", type=Path, help="file of JSON lines for what is asked; .jsonl")
    add("--request_log_sampling", type=float, default=1.0, help="share of the requests, 0 to 1")
    add("--request_log_max_bytes", type=int, default=64 * 2**20, help="a new file beyond")
    add("--request_log_files", type=int, default=5, help="files that are kept")
    add("--request_log_omit", default="", help="comma-separated inputs that are never written")


def request_log_options(known: argparse.Namespace) -> RequestLogOptions | None:
    """What the flags say; None where nothing is logged.

    Raises:
        UsageError: A number is out of its range, or the file has another ending.
    """
    if known.request_log is None:
        return None
    fits = (
        known.request_log.suffix == ".jsonl"
        and 0 < known.request_log_sampling <= 1
        and known.request_log_max_bytes > 0
        and known.request_log_files > 0
    )
    if not fits:
        raise UsageError(
            "the flags of the request log do not fit",
            expected="--request_log=FILE.jsonl, --request_log_sampling above 0 to 1, "
            "--request_log_max_bytes and --request_log_files above 0",
        )
    return RequestLogOptions(
        path=known.request_log,
        sampling=known.request_log_sampling,
        max_bytes=known.request_log_max_bytes,
        files=known.request_log_files,
        omit=frozenset(filter(None, known.request_log_omit.split(","))),
    )
