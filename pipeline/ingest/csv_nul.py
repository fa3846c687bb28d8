"""NUL bytes in CSV, kept away from Arrow's parser.

Beside a NUL its fast search (SSE 4.2, for values of ten bytes and more) overlooks delimiters and
ends of rows, without an error: https://github.com/apache/arrow/issues/50481.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.ingest.config import ReadConfig
from pipeline.ingest.read_text import in_utf8, is_utf8

Bytes = TypeVar("Bytes", bytes, bytearray)

NUL = b"\0"
_SPARE = range(0xF0000, 0xFFFFE)
"""Characters for private use, at least one of which no file will have."""


def without_nul(raw: bytes, how: ReadConfig) -> tuple[bytes, ReadConfig, str]:
    """The file with a character of its own in place of each NUL.

    Args:
        raw: The whole file.
        how: Tells the encoding.

    Returns:
        The file, how to read it, and that character; `raw` and `how` as they are, and no
        character, where there is no NUL.
    """
    if NUL not in raw:
        return raw, how, ""
    # UTF-16 is full of zero bytes that are no NUL.
    text, mark = swapped(raw if is_utf8(how.encoding) else in_utf8(raw, how.encoding).getvalue())
    return (text, replace(how, encoding="utf-8"), mark) if mark else (raw, how, "")


def swapped(text: Bytes) -> tuple[Bytes, str]:
    """Text in UTF-8 with a character of its own in place of each NUL, and which one.

    No character, and the text as it is, where there is no NUL.
    """
    if NUL not in text:
        return text, ""
    mark = next(chr(code) for code in _SPARE if chr(code).encode() not in text)
    return text.replace(NUL, mark.encode()), mark


def with_nul(table: pa.Table, mark: str) -> pa.Table:
    """The table with a NUL wherever `mark` stands for one."""
    if not mark:
        return table
    for place, (name, kind) in enumerate(zip(table.column_names, table.schema.types, strict=True)):
        if pa.types.is_string(kind) or pa.types.is_binary(kind):
            values = pc.replace_substring(table.column(place), mark, "\0")
            table = table.set_column(place, name, values)
    return table.rename_columns([name.replace(mark, "\0") for name in table.column_names])
