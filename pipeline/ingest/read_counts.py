"""How many rows of a table were malformed as it was read: carried by the table itself."""

from __future__ import annotations

import pyarrow as pa

_DROPPED, _BROKEN = b"dropped_rows", b"broken_rows"


def dropped_rows(table: pa.Table) -> int:
    """How many rows of the wrong length were left out when `table` was read."""
    return int((table.schema.metadata or {}).get(_DROPPED, b"0"))


def counting(table: pa.Table, *, dropped: int = 0, broken: int = 0) -> pa.Table:
    """The table with what `dropped_rows` and `broken_rows` will say of it."""
    return table.replace_schema_metadata({_DROPPED: str(dropped), _BROKEN: str(broken)})


def broken_rows(table: pa.Table) -> int:
    """How many rows of `table`, as it was read, had text of another encoding."""
    return int((table.schema.metadata or {}).get(_BROKEN, b"0"))
