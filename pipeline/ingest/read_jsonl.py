"""Reads JSON lines into Arrow: types from all rows, broken lines and text by policy."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from pyarrow import json as arrow_json

from pipeline.ingest.config import ReadConfig
from pipeline.ingest.jsonl_lines import mended
from pipeline.ingest.read_csv import counting, types_asked_for, with_dates
from pipeline.ingest.read_text import BROKEN, marked, refuse_mark

_ROW = re.compile(r"in row (\d+)")


def read_jsonl(file: Any, how: ReadConfig) -> pa.Table:
    """Reads a file of one JSON object a line.

    Args:
        file: The open file, binary.
        how: Encoding, types, and what happens with lines that are no object and with text that is
            of another encoding.

    Raises:
        ValueError: The file is empty, or lines are no object and `how` says to stop.
        UnicodeError: Text is of another encoding, and `how` says to stop, or no value holds it.
        pyarrow.ArrowException: A value is not of the type asked for.
    """
    raw = file.read()
    refuse_mark(raw, how.encoding)
    text, broken = _as_utf8(raw, how)
    if not text.strip():
        raise ValueError("Empty JSONL file")
    types, dropped = types_asked_for(how), 0
    try:
        table = _read(text, types)
    except pa.ArrowInvalid:
        text, dropped = mended(text, how)
        if not text:
            raise ValueError("Empty JSONL file: no line is an object") from None
        table = _read_again(text, types)
    table = with_dates(table, set(table.column_names) - types.keys())
    return counting(table, dropped=dropped, broken=broken)


def _read(text: bytes, types: Mapping[str, pa.DataType]) -> pa.Table:
    """The columns as they are guessed, but those of `types`; dates as the text they are."""
    guessed = _parsed(text, None)
    wanted = pa.schema(
        [
            (field.name, types.get(field.name, _without_dates(field.type)))
            for field in guessed.schema
        ]
    )
    return guessed if wanted.equals(guessed.schema) else _parsed(text, wanted)


def _without_dates(kind: pa.DataType) -> pa.DataType:
    """What Arrow takes for a date has lost its time zone, and is to be text for now."""
    if pa.types.is_timestamp(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_without_dates(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_without_dates(field.type)) for field in kind])
    return kind


def _parsed(text: bytes, schema: pa.Schema | None) -> pa.Table:
    # One block, so that a type is not guessed from the first rows alone.
    return arrow_json.read_json(
        pa.BufferReader(text),
        read_options=arrow_json.ReadOptions(block_size=len(text)),
        parse_options=arrow_json.ParseOptions(explicit_schema=schema, newlines_in_values=False),
    )


def _read_again(text: bytes, types: Mapping[str, pa.DataType]) -> pa.Table:
    try:
        return _read(text, types)
    except pa.ArrowInvalid as error:
        # Arrow counts rows from 0.
        counted = _ROW.sub(lambda found: f"in row {int(found[1]) + 1}", str(error))
        raise pa.ArrowInvalid(counted) from None


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
