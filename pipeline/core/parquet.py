"""How this project writes Parquet, and reads Arrow tables without losing digits."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

    import pandas as pd
    import pyarrow as pa

_GROUP_ROWS = 250_000
SEEN_ROWS = 10_000
"""So many rows say whether a column repeats."""


@contextmanager
def parquet_rows(path: Path) -> Iterator[Callable[[pa.Table], None]]:
    """A function that writes tables under each other, in row groups of 250,000 rows.

    The first row group decides about columns and types. One row group is written aside while the
    next is gathered: compressing leaves the interpreter free. The same rows give the same bytes,
    however they are divided into tables.

    Args:
        path: The new file; none is made where no table is written.
    """
    from concurrent.futures import ThreadPoolExecutor

    import pyarrow as pa

    waiting: list[pa.Table] = []
    writers: list[Any] = []
    busy: list[Future[None]] = []

    def flush() -> None:
        gathered = pa.concat_tables(waiting)
        group, rest = gathered.slice(0, _GROUP_ROWS), gathered.slice(_GROUP_ROWS)
        waiting[:] = [rest] if rest.num_rows else []
        if busy:
            busy.pop().result()
        if not writers:
            writers.append(_writer(path, group))
        busy.append(pool.submit(writers[0].write_table, group))

    def write(table: pa.Table) -> None:
        waiting.append(table)
        while sum(one.num_rows for one in waiting) >= _GROUP_ROWS:
            flush()

    with ThreadPoolExecutor(1) as pool:
        try:
            yield write
            if waiting:
                flush()
            for one in busy:
                one.result()
        finally:
            pool.shutdown()
            for writer in writers:
                writer.close()


def _writer(path: Path, first: pa.Table) -> Any:
    """A new file, compressed with Zstandard.

    Columns whose first rows hardly repeat are written without a dictionary: to try one, and to
    give it up when it has grown too large, takes a quarter of the time of writing.
    """
    import pyarrow as pa
    from pyarrow import parquet

    chosen: bool | list[str] = True
    if not any(pa.types.is_nested(one) for one in first.schema.types):  # whose leaves bear paths
        chosen = [name for name in first.column_names if repeats(first[name])] or False
    return parquet.ParquetWriter(path, first.schema, compression="zstd", use_dictionary=chosen)


def repeats(values: pa.Array | pa.ChunkedArray) -> bool:
    """Whether the first `SEEN_ROWS` values hold each value twice or more, on average."""
    import pyarrow as pa

    seen = values.slice(0, SEEN_ROWS)
    try:
        return len(seen.unique()) <= len(seen) // 2
    except pa.ArrowNotImplementedError:  # numbers of 16 bits
        return True


def as_frame(
    table: pa.Table, gaps: Collection[str] | None = None, *, in_place: bool = False
) -> pd.DataFrame:
    """An Arrow table in pandas, with every digit of its whole numbers.

    pandas alone makes floating numbers of whole ones where some are missing, in a column or in a
    list, and those hold no more than 53 bits: different ids would become one. Here such a column
    is `Int64` or `UInt64`, and lists of whole numbers are lists of text.

    Args:
        table: Any table.
        gaps: Columns that miss a value, here or in another part of the same table; None: those
            that miss one here.
        in_place: Whether columns without a gap stay where Arrow has them, not to be written to.
    """
    import pandas as pd
    import pyarrow as pa

    exact = {pa.int64(): pd.Int64Dtype(), pa.uint64(): pd.UInt64Dtype()}
    wide = []
    for place, one in enumerate(table.schema):
        if _is_list(one.type) and pa.types.is_integer(one.type.value_type):
            words = table.column(place).cast(pa.list_(pa.string()))
            table = table.set_column(place, one.name, words)
        elif one.type in exact and (table[place].null_count if gaps is None else one.name in gaps):
            wide.append(place)
    frame: pd.DataFrame = table.to_pandas(split_blocks=in_place)
    for place in wide:
        frame.isetitem(place, table.column(place).to_pandas(types_mapper=exact.get))
    return frame


def _is_list(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))
