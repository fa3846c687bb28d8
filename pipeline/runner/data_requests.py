"""Served requests as rows: what TensorFlow Serving's REST API was asked, one body a line."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.core.errors import DataError
from pipeline.ingest.config import Compression, Format, ReadConfig
from pipeline.ingest.file_format import file_kind, opened
from pipeline.ingest.read_errors import explained


def request_rows(path: str, model: str | None = None) -> pd.DataFrame | None:
    """The rows asked about in a file of request bodies; None where it is a table of rows.

    A line is `{"instances": [{...}, ...]}` or `{"inputs": {"column": [...], ...}}`, or a record
    that holds such a body under `request`, as the server's request log does. A last line that is
    still being written is passed over.

    Args:
        path: The file, plain or packed (`.gz`, `.bz2`, `.xz`, `.zst`, `.zip`).
        model: Records that name another model are passed over; None: none are.

    Raises:
        DataError: A later line is no such body, none asks about a row of `model`, or what is
            packed is damaged.
    """
    with _lines(path) as lines:
        bodies = ((place, line, _body(line)) for place, line in enumerate(lines, 1) if line.strip())
        first = next(bodies, None)
        if first is None or first[2] is None:
            return None
        rows, others = _asked(chain([first], bodies), path, model)
    if not rows:
        named = ", ".join(sorted(others)[:10])
        raise DataError(
            f"no request of {path} asks about a row" + (f" of '{model}'" if others else ""),
            expected="rows to compare" + (f"; these requests are of: {named}" if named else ""),
            remedy="take the log of the model that register.name names" if others else "",
        )
    return pd.DataFrame(rows)


@contextmanager
def _lines(path: str) -> Iterator[Iterable[bytes]]:
    """Lines of a file of JSON lines, unpacked; none where it is another file."""
    how = ReadConfig()
    kind, compression = _kind(path, how)
    if kind != "jsonl" or not Path(path).is_file():
        yield ()
        return
    with explained(path, kind, how), opened(Path(path), compression) as file:
        yield io.BufferedReader(file)


def _kind(path: str, how: ReadConfig) -> tuple[Format | None, Compression]:
    """Format and compression by the name; no format where it does not say one."""
    try:
        return file_kind(path, path, how)
    except DataError:
        return None, "none"


def _asked(
    bodies: Iterable[tuple[int, bytes, Mapping[str, Any] | None]], path: str, model: str | None
) -> tuple[list[Mapping[str, Any]], set[str]]:
    """The rows asked about, and the other models that were asked."""
    rows: list[Mapping[str, Any]] = []
    others: set[str] = set()
    for place, line, body in bodies:
        if body is None and not line.endswith(b"\n"):
            break
        if body is None:
            raise _no_body(place, path, "is no request body")
        if model is not None and body.get("model") not in {None, model}:
            others.add(str(body["model"]))
            continue
        asked = _rows(body)
        if isinstance(asked, str):
            raise _no_body(place, path, asked)
        rows += asked
    return rows, others


def _no_body(place: int, path: str, said: str) -> DataError:
    return DataError(
        f"line {place} of {path} {said}",
        expected='a JSON object with "instances", a list of objects, or "inputs", an object of '
        "lists of one length",
        remedy="correct the line, or leave it out",
    )


def _body(line: bytes) -> Mapping[str, Any] | None:
    try:
        content = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    if isinstance(content, dict) and isinstance(content.get("request"), dict):
        content = {**content["request"], "model": content.get("model")}
    asked = isinstance(content, dict) and ({"instances", "inputs"} & content.keys())
    return content if asked else None


def _rows(body: Mapping[str, Any]) -> Sequence[Mapping[str, Any]] | str:
    """The rows of a body, or what is wrong with it."""
    instances, inputs = body.get("instances"), body.get("inputs")
    if isinstance(instances, list):
        named = all(isinstance(one, dict) for one in instances)
        return instances if named else "has instances that do not name their columns"
    if not isinstance(inputs, dict):
        return "has no rows with named columns"
    listed = {name: one if isinstance(one, list) else [one] for name, one in inputs.items()}
    if len({len(one) for one in listed.values()}) > 1:
        return "has columns of different lengths"
    return [dict(zip(listed, values, strict=True)) for values in zip(*listed.values(), strict=True)]
