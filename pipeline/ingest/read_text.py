"""Text of another encoding in a table that Arrow has read: named, left out or made missing."""

from __future__ import annotations

import codecs
from collections.abc import Collection, Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.ingest.config import ReadConfig

_SHOWN = 3
_SHOWN_BYTES = 40
BROKEN = "\udcff"
"""Stands in text for what could not be decoded: no text of any encoding holds it, and written as
UTF-8 by `surrogateescape` it is the byte 0xff, which UTF-8 never has."""


_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def is_utf8(encoding: str) -> bool:
    """Whether that is one of UTF-8's names."""
    return codecs.lookup(encoding).name == "utf-8"


def refuse_mark(begins: bytes, encoding: str) -> None:
    """Raises a UnicodeError where a file of UTF-8 says by its first bytes that it is of UTF-16.

    It would be rows of odd lengths, or text with a NUL byte beside each letter.
    """
    mark = _MARKS.get(begins[:2])
    if mark and is_utf8(encoding):
        raise UnicodeError(f"it begins with the mark of {mark}: set encoding to {mark}")


def mark_broken() -> None:
    """Lets decoders know errors="marked": `BROKEN` wherever bytes are of another encoding."""
    codecs.register_error("marked", lambda error: (BROKEN, error.end))  # type: ignore[attr-defined]


def in_utf8(raw: bytes, encoding: str) -> bytes:
    """`raw` in UTF-8, but for a byte that is none wherever it is of another encoding."""
    mark_broken()
    return raw.decode(encoding, "marked").encode("utf-8", "surrogateescape")


def without_words(table: pa.Table, words: Sequence[str]) -> pa.Table:
    """The table with each text that is one of `words` missing."""
    for place, field in enumerate(table.schema if words else ()):
        if _is_text(field.type):
            own = _plain(table.column(place))
            odd = pc.is_in(own, value_set=pa.array(words, own.type))
            values = pc.if_else(odd, pa.scalar(None, own.type), own)
            table = table.set_column(place, field.name, values)
    return table


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    is_coded = pa.types.is_dictionary(column.type)
    return column.cast(column.type.value_type) if is_coded else column


def unchecked(table: pa.Table) -> list[str]:
    """Columns of text in which some value is no UTF-8: Arrow trusts the writers of its files."""
    return [
        name
        for name, column in zip(table.column_names, table.columns, strict=True)
        if _is_text(column.type) and not _is_valid(column)
    ]


def _is_text(kind: pa.DataType) -> bool:
    own = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(own) or pa.types.is_large_string(own))


def _is_valid(column: pa.ChunkedArray) -> bool:
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def as_bytes(table: pa.Table, names: Iterable[str]) -> pa.Table:
    """The table with these columns of text as bytes, whose values `decoded` looks at."""
    for name in names:
        place = table.column_names.index(name)
        table = table.set_column(place, name, _plain(table[name]).cast(pa.binary()))
    return table


def decoded(
    table: pa.Table, how: ReadConfig, names: Collection[str] | None = None
) -> tuple[pa.Table, int]:
    """Makes text of the columns that Arrow took for bytes, since some value is no UTF-8.

    Args:
        table: With binary columns where text was broken.
        how: What happens with rows of such values; whether they may be shown.
        names: The binary columns that are text; None: all of them.

    Returns:
        The table, and how many rows had such values.

    Raises:
        UnicodeError: There are some, and `how` neither drops them nor makes them missing.
    """
    broken: set[int] = set()
    for place, (name, kind) in enumerate(zip(table.column_names, table.schema.types, strict=True)):
        if not pa.types.is_binary(kind) or (names is not None and name not in names):
            continue
        words, odd = _words(table[name])
        if odd and how.bad_text == "error":
            raise UnicodeError(_said(name, odd, how))
        broken |= odd.keys()
        table = table.set_column(place, name, words)
    if broken and how.bad_text == "drop":
        table = table.take([row for row in range(table.num_rows) if row not in broken])
    return table, len(broken)


def _words(values: pa.ChunkedArray) -> tuple[pa.ChunkedArray | pa.Array, dict[int, bytes]]:
    """The values as text, missing where they are none; and the rows where that is so."""
    try:
        return values.cast(pa.string()), {}
    except pa.ArrowInvalid:
        odd: dict[int, bytes] = {}
        words: list[str | None] = []
        for row, value in enumerate(values.to_pylist()):
            try:
                words.append(None if value is None else value.decode())
            except UnicodeDecodeError:
                odd[row] = value
                words.append(None)
        return pa.array(words, pa.string()), odd


def _said(name: str, odd: dict[int, bytes], how: ReadConfig) -> str:
    plain = is_utf8(how.encoding)

    def quoted(value: bytes) -> str:
        # Of another encoding it is not the bytes of the file that are at hand, but its text.
        return repr(
            value[:_SHOWN_BYTES] if plain else value.decode(errors="replace")[:_SHOWN_BYTES]
        )

    shown = [
        f"row {row + 1}" + ("" if how.pii else f": {quoted(value)}")
        for row, value in list(odd.items())[:_SHOWN]
    ]
    more = ", ..." if len(odd) > _SHOWN else ""
    return f"{len(odd):,} values of column '{name}', {', '.join(shown)}{more}"
