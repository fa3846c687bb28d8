"""Reads JSON lines into Arrow: types from all rows, values of another encoding by policy."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
from pyarrow import json as arrow_json

from pipeline.ingest.config import ReadConfig
from pipeline.ingest.read_csv import TYPES, counting
from pipeline.ingest.read_text import BROKEN, marked


def read_jsonl(file: Any, how: ReadConfig) -> pa.Table:
    """Reads a file of one JSON object a line.

    Args:
        file: The open file, binary.
        how: Encoding, types, and what happens with text that is of another encoding.

    Raises:
        ValueError: The file is empty.
        UnicodeError: Text is of another encoding, and `how` says to stop, or no value holds it.
        pyarrow.ArrowException: A line is no JSON object, or its values have several types.
    """
    text, broken = _as_utf8(file.read(), how)
    if not text.strip():
        raise ValueError("Empty JSONL file")
    fields = [(name, TYPES[kind]) for name, kind in how.dtypes.items()]
    # One block, so that a type is not guessed from the first rows alone.
    table = arrow_json.read_json(
        pa.BufferReader(text),
        read_options=arrow_json.ReadOptions(block_size=len(text)),
        parse_options=arrow_json.ParseOptions(
            explicit_schema=pa.schema(fields) if fields else None, newlines_in_values=False
        ),
    )
    return counting(table, broken=broken)


def _as_utf8(raw: bytes, how: ReadConfig) -> tuple[bytes, int]:
    """The lines in UTF-8, which Arrow would not check, and how many were broken."""
    try:
        return raw.decode(how.encoding).removeprefix("\ufeff").encode(), 0
    except UnicodeDecodeError as error:
        if how.bad_text == "error":
            line = raw.count(b"\n", 0, error.start) + 1
            raise UnicodeError(f"line {line:,}: byte 0x{raw[error.start]:02x}") from None
    lines = marked(raw, how.encoding).removeprefix("\ufeff").split("\n")
    broken = sum(BROKEN in line for line in lines)
    if how.bad_text == "drop":
        lines = [line for line in lines if BROKEN not in line]
    else:
        lines = [
            _without_broken(line, number) if BROKEN in line else line
            for number, line in enumerate(lines, start=1)
        ]
    return "\n".join(lines).encode(), broken


def _without_broken(line: str, number: int) -> str:
    """The line with null for each text that is broken."""
    try:
        return json.dumps(_cleared(json.loads(line)))
    except ValueError:
        raise UnicodeError(f"line {number:,}, and not within a value") from None


def _cleared(value: Any) -> Any:
    match value:
        case str() if BROKEN in value:
            return None
        case list():
            return [_cleared(one) for one in value]
        case dict():
            if any(BROKEN in name for name in value):
                raise ValueError("a broken name cannot be left out")
            return {name: _cleared(one) for name, one in value.items()}
    return value
