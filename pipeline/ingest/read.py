"""Reads a file of any known format and compression into an Arrow table, strictly."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from pipeline.core.errors import DataError, nearest
from pipeline.ingest.config import Compression, Format, ReadConfig
from pipeline.ingest.csv_dates import without_odd_years
from pipeline.ingest.file_format import file_kind, opened
from pipeline.ingest.read_counts import counting
from pipeline.ingest.read_csv import read_csv, types_asked_for
from pipeline.ingest.read_errors import EmptyTableError, explained
from pipeline.ingest.read_jsonl import JsonLines
from pipeline.ingest.read_text import as_bytes, decoded, unchecked, without_words

_LONG_ROW = re.compile("straddl|Empty CSV file or block")
"""What Arrow says of a row, and of a header, that is longer than its block."""


def read_table(path: Path, uri: str, how: ReadConfig, *, strict: bool = True) -> pa.Table:
    """Reads a table.

    Args:
        path: The file.
        uri: What people call it.
        how: Format, compression and options.
        strict: Whether a column that `dtypes` names has to be there.

    Returns:
        The columns asked for, in their order in the file; text columns are strings.

    Raises:
        DataError: The file is empty, has no rows, is damaged or not of its format, holds text of
            another encoding, names a column twice, or lacks a column asked for.
    """
    kind, compression = file_kind(path.name, uri, how)
    with explained(uri, kind, how):
        table = _whole(path, kind, compression, how)
    return checked(table, uri, how if strict else of_columns(how, table.column_names))


def of_columns(how: ReadConfig, names: Collection[str]) -> ReadConfig:
    """What `how` says of these columns alone."""
    dtypes = {name: kind for name, kind in how.dtypes.items() if name in names}
    return replace(how, dtypes=dtypes, pii={n: way for n, way in how.pii.items() if n in names})


def _whole(path: Path, kind: Format, compression: Compression, how: ReadConfig) -> pa.Table:
    if kind == "jsonl":
        lines = JsonLines(partial(opened, path, compression), how)
        table = pa.concat_tables(lines.tables())
        return counting(table, dropped=lines.dropped, broken=lines.broken)
    try:
        with opened(path, compression) as file:
            return _READERS[kind](file, how)
    except pa.ArrowInvalid as error:
        if kind not in {"csv", "tsv"} or not _LONG_ROW.search(str(error)):
            raise
    # Opened anew: Arrow's threads may still be reading from the first one.
    with opened(path, compression) as file:
        return read_csv(file, how, "\t" if kind == "tsv" else ",", long_rows=True)


def _read_tsv(file: Any, how: ReadConfig) -> pa.Table:
    return read_csv(file, how, "\t")


def _read_parquet(file: Any, how: ReadConfig) -> pa.Table:
    seekable = file if isinstance(file, pa.OSFile) else pa.BufferReader(file.read())
    table = parquet.ParquetFile(seekable).read(columns=list(how.columns) or None)
    if names := unchecked(table):
        table, broken = decoded(as_bytes(table, names), how, names)
        table = counting(table, broken=broken)
    return without_odd_years(as_asked(table, how))


def as_asked(table: pa.Table, how: ReadConfig) -> pa.Table:
    """Rows of Parquet with the missing words and types that `how` asks for."""
    table = without_words(table, how.missing)
    for name, kind in types_asked_for(how).items():
        if name in table.column_names:
            place = table.column_names.index(name)
            table = table.set_column(place, name, table[name].cast(kind))
    return table


_READERS = {"csv": read_csv, "tsv": _read_tsv, "parquet": _read_parquet}


def checked(table: pa.Table, uri: str, how: ReadConfig) -> pa.Table:
    """The columns asked for; raises a DataError as `read_table` does."""
    names = table.column_names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"{uri} names {len(twice)} columns more than once: {', '.join(map(repr, twice[:5]))}",
            expected="each column name once",
            remedy="rename the columns in the file"
            + (", and remove those without a name" if "" in twice else ""),
        )
    for name in (*how.columns, *how.dtypes):
        if name not in names:
            near = nearest(name, names)
            raise DataError(
                f"{uri} has no column '{name}'",
                expected=f"it among {', '.join(names[:40])}",
                remedy=f"did you mean {' or '.join(near)}?" if near else "correct the source",
            )
    if table.num_rows == 0:
        raise EmptyTableError(
            f"{uri} has a header but no rows", expected="at least one row", remedy="fill the file"
        )
    return table.select(list(how.columns)) if how.columns else table
