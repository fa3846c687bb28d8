"""Bytes that Arrow's CSV reader does not stand, and the characters that stand for them meanwhile.

Beside a NUL its fast search (SSE 4.2, for values of ten bytes and more) overlooks delimiters and
ends of rows, without an error: https://github.com/apache/arrow/issues/50481. Of a row of the wrong
length it decodes the text to tell Python of it, and fails where a byte is no UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Bytes = TypeVar("Bytes", bytes, bytearray)
Marks = Mapping[str, str]
"""The character that stands for each odd one: for a NUL, or for a byte that is no UTF-8, which in
text is what `surrogateescape` makes of it."""

_SPARE = range(0xF0000, 0xFFFFE)
"""Characters for private use, of which no file will have them all."""
_ODD_OR_SPARE = re.compile("[\0\udc80-\udcff\U000f0000-\U000ffffd]")


def is_plain(text: bytes | bytearray) -> bool:
    """Whether all of it is UTF-8 and nothing a NUL."""
    if b"\0" in text:
        return False
    ends = pa.py_buffer(np.array([0, len(text)], np.int64))
    value = pa.Array.from_buffers(pa.large_string(), 1, [None, ends, pa.py_buffer(text)])
    try:
        value.validate(full=True)  # many times faster than to decode it, and beside other threads
    except pa.ArrowInvalid:
        return False
    return True


def marked(text: Bytes) -> tuple[Bytes, Marks]:
    """Text in UTF-8 with a character of its own for each odd one, and which ones."""
    if is_plain(text):
        return text, {}
    odd = text.decode("utf-8", "surrogateescape")
    marks = marks_for([odd])
    return type(text)(with_marks(odd, marks).encode()), marks


def marks_for(texts: Iterable[str]) -> Marks:
    """A character that stands in none of the texts for each odd one in them."""
    found = {one for text in texts for one in _ODD_OR_SPARE.findall(text)}
    spare = (chr(code) for code in _SPARE if chr(code) not in found)
    return {odd: next(spare) for odd in sorted(found) if ord(odd) not in _SPARE}


def with_marks(text: str, marks: Marks) -> str:
    """The text with what stands for odd characters in their place."""
    for odd, mark in marks.items():
        text = text.replace(odd, mark)
    return text


def restored(table: pa.Table, marks: Marks) -> pa.Table:
    """The table with the odd characters in place of what stands for them.

    Columns of text become bytes where a value is no UTF-8, as Arrow itself would have them.

    Raises:
        UnicodeDecodeError: The name of a column is no UTF-8.
    """
    if not marks:
        return table
    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type) or pa.types.is_binary(field.type):
            values = _restored(table.column(place), marks)
            table = table.set_column(place, field.name, values)
    return table.rename_columns([_restored_name(name, marks) for name in table.column_names])


def _restored(values: pa.ChunkedArray, marks: Marks) -> pa.ChunkedArray:
    as_bytes = values.cast(pa.binary())
    for odd, mark in marks.items():
        as_bytes = pc.replace_substring(as_bytes, mark.encode(), _byte(odd))
    try:
        return as_bytes.cast(values.type)
    except pa.ArrowInvalid:
        return as_bytes


def _restored_name(name: str, marks: Marks) -> str:
    as_bytes = name.encode()
    for odd, mark in marks.items():
        as_bytes = as_bytes.replace(mark.encode(), _byte(odd))
    return as_bytes.decode()


def _byte(odd: str) -> bytes:
    return odd.encode("utf-8", "surrogateescape")


def in_types_of(schema: pa.Schema, table: pa.Table) -> pa.Table:
    """What `restored` gave in the types of `schema`.

    Raises:
        pyarrow.ArrowInvalid: A value is no UTF-8 in a column of text, in Arrow's own words.
    """
    for place, field in enumerate(schema):
        column = table.column(place)
        if pa.types.is_string(field.type) and pa.types.is_binary(column.type):
            raise pa.ArrowInvalid(
                f"In CSV column #{place}: CSV conversion error to string: invalid UTF8 data"
            )
        if column.type != field.type:
            table = table.set_column(place, field.name, column.cast(field.type))
    return table


def told(message: str, marks: Marks) -> str:
    r"""A message of marked text for people: a NUL is \x00 in it, a byte that is no UTF-8 \xff."""
    for odd, mark in marks.items():
        shown = f"\\x{_byte(odd)[0]:02x}"
        message = message.replace(repr(mark)[1:-1], shown).replace(mark, shown)
    return message
