"""Append-only files of one JSON object a line, whole again after any crash.

A writer that dies in the middle of a line leaves a torn one. The next append starts on a fresh
line, and readers skip what is not JSON, so one death costs one record at most.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def append_line(path: Path, value: Mapping[str, Any], *, durable: bool = False) -> None:
    """Adds `value` as one line; makes the folder and the file where they are missing.

    Args:
        path: The file.
        value: What JSON can hold.
        durable: Whether the line must have reached the disk when this returns (fsync(2)).
    """
    line = json.dumps(value, ensure_ascii=False).encode() + b"\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        if _ends_torn(file.seek(0, os.SEEK_END), path):
            line = b"\n" + line
        file.write(line)
        if durable:
            file.flush()
            os.fsync(file.fileno())


def read_lines(path: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Reads the whole lines from byte `offset` on.

    Returns:
        The objects, and the offset behind the last whole line: where to read on next time. A
        file that does not exist has no lines.
    """
    if not path.exists():
        return [], offset
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read()
    whole = data[: data.rfind(b"\n") + 1]
    objects = (_parse(line) for line in whole.splitlines())
    return [value for value in objects if value is not None], offset + len(whole)


def _ends_torn(size: int, path: Path) -> bool:
    if size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
