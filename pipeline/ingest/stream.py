"""Writes a file's rows as Parquet, batch by batch: the same rows as if it had been read whole.

Types come from all rows all the same. They are guessed from the first megabytes; where a later
value does not fit, its column takes the next wider type of Arrow's own order and the file is begun
anew. What cannot be brought in so (and what is wrong with the file) is left to `read`.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv, parquet

from pipeline.core.parquet import parquet_rows
from pipeline.ingest.config import Compression, ReadConfig
from pipeline.ingest.privacy import protect
from pipeline.ingest.read import (
    UNREADABLE,
    as_asked,
    checked,
    explained,
    file_kind,
    of_columns,
    opened,
    read_table,
)
from pipeline.ingest.read_csv import (
    Lengths,
    broken_rows,
    dropped_rows,
    odd_years,
    options_of,
    types_asked_for,
    wrong_lengths,
)
from pipeline.ingest.read_jsonl import JsonLines
from pipeline.ingest.read_text import unchecked

_BLOCK_BYTES = 16 << 20
"""What types are guessed from; a row may be so long."""
_MISFIT = re.compile(r"In CSV column #(\d+):.*CSV conversion error", re.DOTALL)
_WIDER = (
    pa.null(),
    pa.int64(),
    pa.bool_(),
    pa.date32(),
    pa.time32("s"),
    pa.timestamp("s"),
    pa.timestamp("s", "UTC"),
    pa.timestamp("ns"),
    pa.timestamp("ns", "UTC"),
    pa.float64(),
    pa.string(),
)
"""The order in which Arrow tries types on a column (its `InferKind`)."""


class ReadWholeError(Exception):
    """The file must be read whole: for what it holds, or to say what is wrong with it."""


class _UnevenError(Exception):
    """Rows do not have a field for each of `names`, and that is an error."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = names


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        rows: Rows written.
        dropped_rows: Rows left out because they are malformed.
        broken_rows: Rows with text of another encoding.
    """

    rows: int
    dropped_rows: int = 0
    broken_rows: int = 0


@dataclass(frozen=True)
class _Target:
    """The new Parquet file, and whether columns that options name have to be there."""

    path: Path
    strict: bool


def write_rows(
    path: Path, uri: str, how: ReadConfig, target: Path, *, whole_bytes: int, strict: bool = True
) -> Written:
    """Writes the rows of a file as Parquet, personal data protected.

    Memory holds some blocks of it, whatever its size, where nothing is wrong with the file.

    Args:
        path: The file.
        uri: What people call it.
        how: Format, compression and options.
        target: The new Parquet file.
        whole_bytes: A file that is not packed and not larger is read at once.
        strict: Whether a column that `dtypes` or `pii` names has to be there.

    Raises:
        DataError: It is empty, damaged, of another format or encoding, or lacks a column.
    """
    kind, compression = file_kind(path.name, uri, how)
    if compression != "none" or path.stat().st_size > whole_bytes:
        try:
            return _in_batches(path, uri, how, _Target(target, strict=strict))
        except (ReadWholeError, *UNREADABLE):
            pass  # all rows at once, for the message or for what the policies say
        except OSError as error:
            if error.errno is not None:
                raise
    table = read_table(path, uri, how, strict=strict)
    with explained(uri, kind, how):
        rows = _written(iter([table]), uri, how, _Target(target, strict=strict))
    return Written(rows, dropped_rows(table), broken_rows(table))


def _in_batches(path: Path, uri: str, how: ReadConfig, target: _Target) -> Written:
    kind, compression = file_kind(path.name, uri, how)
    if kind == "jsonl":
        lines = JsonLines(partial(opened, path, compression), how)
        with explained(uri, kind, how):
            rows = _written(lines.tables(), uri, how, target)
        return Written(rows, lines.dropped, lines.broken)
    if kind == "parquet":
        return Written(_parquet_written(path, compression, uri, how, target))
    delimiter = how.delimiter or ("\t" if kind == "tsv" else ",")
    types: dict[str, pa.DataType] = types_asked_for(how)
    while True:
        lengths = Lengths(quoted=True)
        try:
            with opened(path, compression) as file:
                reader = csv.open_csv(
                    file, **options_of(how, delimiter, lengths, types, block_size=_BLOCK_BYTES)
                )
                tables = _csv_tables(reader, lengths, how)
                return Written(_written(tables, uri, how, target), lengths.count)
        except _UnevenError as error:
            with explained(uri, kind, how), opened(path, compression) as file:
                names, size = error.names, _BLOCK_BYTES
                said = wrong_lengths(file, names, how, delimiter, block_size=size)
                raise ValueError(said) from None
        except pa.ArrowInvalid as error:
            types = _widened(types, _schema(path, compression, how, delimiter, types), error, how)


def _schema(
    path: Path, compression: Any, how: ReadConfig, delimiter: str, types: dict[str, pa.DataType]
) -> pa.Schema:
    """The types that were guessed."""
    with opened(path, compression) as file:
        made = options_of(how, delimiter, Lengths(quoted=True), types, block_size=_BLOCK_BYTES)
        with csv.open_csv(file, **made) as reader:
            return reader.schema


def _widened(
    types: dict[str, pa.DataType], schema: pa.Schema, error: Exception, how: ReadConfig
) -> dict[str, pa.DataType]:
    """The types to try next, after a value that did not fit."""
    found = _MISFIT.search(str(error))
    if found is None:
        raise ReadWholeError from error
    field = schema.field(int(found[1]))
    last = field.type not in _WIDER or field.type == _WIDER[-1]
    if last or field.name in how.dtypes:
        raise ReadWholeError from error
    return {**types, field.name: _WIDER[_WIDER.index(field.type) + 1]}


def _csv_tables(reader: Any, lengths: Lengths, how: ReadConfig) -> Iterator[pa.Table]:
    names = reader.schema.names
    if len(set(names)) < len(names) or any(map(pa.types.is_binary, reader.schema.types)):
        raise ReadWholeError
    for batch in reader:
        table = pa.Table.from_batches([batch])
        if lengths.count and how.bad_rows == "error":
            raise _UnevenError(names)
        if odd_years(table):
            raise ReadWholeError
        yield table
    if lengths.count and how.bad_rows == "error":
        raise _UnevenError(names)


def _parquet_written(
    path: Path, compression: Compression, uri: str, how: ReadConfig, target: _Target
) -> int:
    if compression == "none":
        return _written(_parquet_tables(path, how), uri, how, target)
    if how.pii:
        raise ReadWholeError  # nothing is unpacked onto the disk as it stands
    unpacked = target.path.with_suffix(".unpacked")
    try:
        with opened(path, compression) as packed, unpacked.open("wb") as file:
            shutil.copyfileobj(packed, file, _BLOCK_BYTES)
        return _written(_parquet_tables(unpacked, how), uri, how, target)
    finally:
        unpacked.unlink(missing_ok=True)


def _parquet_tables(path: Path, how: ReadConfig) -> Iterator[pa.Table]:
    with parquet.ParquetFile(path, pre_buffer=False) as file:
        for batch in file.iter_batches(columns=list(how.columns) or None):
            table = pa.Table.from_batches([batch])
            if unchecked(table) or odd_years(table):
                raise ReadWholeError
            yield as_asked(table, how)


def _written(tables: Iterator[pa.Table], uri: str, how: ReadConfig, target: _Target) -> int:
    """Writes the columns asked for, protected; returns how many rows there were."""
    rows = 0
    with parquet_rows(target.path) as write:
        for table in tables:
            if table.num_rows:
                wanted = how if target.strict else of_columns(how, table.column_names)
                kept = protect(checked(table, uri, wanted), wanted.pii, uri)
                write(kept.replace_schema_metadata(None))
                rows += table.num_rows
        if not rows:
            raise ReadWholeError
    return rows
