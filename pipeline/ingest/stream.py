"""Brings a large file in batch by batch: what is written is what reading it whole would give.

Types come from all rows all the same. They are guessed from the first megabytes; where a later
value does not fit, its column takes the next wider type of Arrow's own order and the file is begun
anew. What cannot be brought in so (and what is wrong with the file) is left to `read`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv, parquet

from pipeline.core.parquet import parquet_rows
from pipeline.ingest.config import FileSource, IngestStageConfig, PackageSource, ReadConfig
from pipeline.ingest.read import UNREADABLE, checked, file_kind, opened
from pipeline.ingest.read_csv import Lengths, odd_years, options_of, types_asked_for
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


@dataclass(frozen=True)
class Streamed:
    """What was brought in.

    Attributes:
        rows: Rows written.
        dropped_rows: Rows left out because they had more or fewer fields than the header.
        columns: The columns in order.
    """

    rows: int
    dropped_rows: int
    columns: tuple[str, ...]


def may_stream(config: IngestStageConfig, root: Path) -> bool:
    """Whether the source is one large file that needs nothing but to be read."""
    source = config.source
    if not isinstance(source, FileSource | PackageSource) or config.joins or source.pii:
        return False
    if config.ingest.sample_rows is not None or isinstance(source, PackageSource):
        return False
    if source.span is not None or "://" in source.path:
        return False
    path = root / source.path
    return path.is_file() and path.stat().st_size > config.ingest.stream_above_bytes


def stream_table(path: Path, uri: str, how: ReadConfig, target: Path) -> Streamed:
    """Writes the rows of a file as Parquet; memory holds some blocks of it.

    Args:
        path: The file.
        uri: What people call it.
        how: Format, compression and options.
        target: The new Parquet file.

    Raises:
        ReadWholeError: It must be read whole.
        DataError: A column asked for is not there, or stands twice.
    """
    kind, compression = file_kind(path.name, uri, how)
    if kind == "jsonl" or (kind == "parquet" and compression != "none"):
        raise ReadWholeError
    if kind == "parquet":
        return _written(_parquet_tables(path, how), uri, how, target, Lengths(quoted=True))
    delimiter = how.delimiter or ("\t" if kind == "tsv" else ",")
    types: dict[str, pa.DataType] = types_asked_for(how)
    while True:
        lengths = Lengths(quoted=True)
        try:
            with opened(path, compression) as file:
                reader = csv.open_csv(
                    file, **options_of(how, delimiter, lengths, types, block_size=_BLOCK_BYTES)
                )
                return _written(_csv_tables(reader), uri, how, target, lengths)
        except pa.ArrowInvalid as error:
            types = _widened(types, _schema(path, compression, how, delimiter, types), error, how)
        except UNREADABLE as error:
            raise ReadWholeError from error


def _schema(
    path: Path, compression: Any, how: ReadConfig, delimiter: str, types: dict[str, pa.DataType]
) -> pa.Schema:
    """The types that were guessed."""
    try:
        with opened(path, compression) as file:
            made = options_of(how, delimiter, Lengths(quoted=True), types, block_size=_BLOCK_BYTES)
            with csv.open_csv(file, **made) as reader:
                return reader.schema
    except UNREADABLE as error:
        raise ReadWholeError from error


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


def _csv_tables(reader: Any) -> Iterator[pa.Table]:
    names = reader.schema.names
    if len(set(names)) < len(names) or any(map(pa.types.is_binary, reader.schema.types)):
        raise ReadWholeError
    for batch in reader:
        table = pa.Table.from_batches([batch])
        if odd_years(table):
            raise ReadWholeError
        yield table


def _parquet_tables(path: Path, how: ReadConfig) -> Iterator[pa.Table]:
    asked = types_asked_for(how)
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=list(how.columns) or None):
            table = pa.Table.from_batches([batch])
            if unchecked(table) or odd_years(table):
                raise ReadWholeError
            for place, name in enumerate(table.column_names):
                if name in asked:
                    table = table.set_column(place, name, table[name].cast(asked[name]))
            yield table


def _written(
    tables: Iterator[pa.Table], uri: str, how: ReadConfig, target: Path, lengths: Lengths
) -> Streamed:
    rows = 0
    with parquet_rows(target) as write:
        for table in tables:
            if not table.num_rows:
                continue
            if lengths.count and how.bad_rows == "error":
                raise ReadWholeError
            one = checked(table, uri, how).replace_schema_metadata(None)
            write(one)
            rows += one.num_rows
        if not rows or (lengths.count and how.bad_rows == "error"):
            raise ReadWholeError
    return Streamed(rows, lengths.count, tuple(one.schema.names))
