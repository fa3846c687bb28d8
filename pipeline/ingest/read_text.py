"""Text of another encoding in a table that Arrow has read: named, left out or made missing."""

from __future__ import annotations

import pyarrow as pa

from pipeline.ingest.config import ReadConfig

_SHOWN = 3
_SHOWN_BYTES = 40


def decoded(table: pa.Table, how: ReadConfig) -> tuple[pa.Table, int]:
    """Makes text of the columns that Arrow took for bytes, since some value is no UTF-8.

    Args:
        table: With binary columns where text was broken.
        how: What happens with rows of such values; whether they may be shown.

    Returns:
        The table, and how many rows had such values.

    Raises:
        UnicodeError: There are some, and `how` neither drops them nor makes them missing.
    """
    broken: set[int] = set()
    for place, (name, kind) in enumerate(zip(table.column_names, table.schema.types, strict=True)):
        if not pa.types.is_binary(kind):
            continue
        words, odd = _words(table[name])
        if odd and how.bad_text == "error":
            raise UnicodeError(_said(name, odd, quoted=not how.pii))
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


def _said(name: str, odd: dict[int, bytes], *, quoted: bool) -> str:
    shown = [
        f"row {row + 1}" + (f": {value[:_SHOWN_BYTES]!r}" if quoted else "")
        for row, value in list(odd.items())[:_SHOWN]
    ]
    more = ", ..." if len(odd) > _SHOWN else ""
    return f"{len(odd):,} values of column '{name}', {', '.join(shown)}{more}"
