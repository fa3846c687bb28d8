"""Writes a file's rows as Parquet, batch by batch: the same rows as if it had been read whole.

What cannot be brought in so (and some of what is wrong with a file) is left to `read`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
from pyarrow import parquet

from pipeline.core.parquet import parquet_rows
from pipeline.ingest.config import ReadConfig
from pipeline.ingest.csv_dates import odd_years
from pipeline.ingest.file_format import file_kind, opened
from pipeline.ingest.privacy import protect
from pipeline.ingest.read import as_asked, checked, of_columns, read_table
from pipeline.ingest.read_counts import broken_rows, dropped_rows
from pipeline.ingest.read_errors import UNREADABLE, explained
from pipeline.ingest.read_jsonl import JsonLines
from pipeline.ingest.read_text import unchecked
from pipeline.ingest.stream_csv import CsvFile, ReadWholeError, UnevenError

Write = Callable[[Iterator[pa.Table]], int]
"""Writes all tables, from the beginning if asked again; returns how many rows they have."""


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

    def write(tables: Iterator[pa.Table]) -> int:
        rows = 0
        with parquet_rows(target) as put:
            for table in tables:
                if table.num_rows:
                    wanted = how if strict else of_columns(how, table.column_names)
                    kept = protect(checked(table, uri, wanted), wanted.pii, uri)
                    put(kept.replace_schema_metadata(None))
                    rows += table.num_rows
            if not rows:
                raise ReadWholeError
        return rows

    kind, compression = file_kind(path.name, uri, how)
    if compression != "none" or path.stat().st_size > whole_bytes:
        try:
            return _in_batches(path, uri, how, write, target.parent)
        except (ReadWholeError, *UNREADABLE):
            pass  # all rows at once, for the message or for what the policies say
        except OSError as error:
            if error.errno is not None:
                raise
    table = read_table(path, uri, how, strict=strict)
    with explained(uri, kind, how):
        return Written(write(iter([table])), dropped_rows(table), broken_rows(table))


def _in_batches(path: Path, uri: str, how: ReadConfig, write: Write, scratch: Path) -> Written:
    kind, compression = file_kind(path.name, uri, how)
    open_file = partial(opened, path, compression)
    if kind == "jsonl":
        lines = JsonLines(open_file, how)
        with explained(uri, kind, how):
            return Written(write(lines.tables()), lines.dropped, lines.broken)
    if kind == "parquet" and compression == "none":
        return Written(write(_parquet_tables(path, how)))
    if kind == "parquet":
        if how.pii:
            raise ReadWholeError  # nothing is unpacked onto the disk as it stands
        with TemporaryDirectory(dir=scratch) as folder:
            unpacked = Path(folder) / path.stem
            with open_file() as packed, unpacked.open("wb") as plain:
                shutil.copyfileobj(packed, plain)
            return Written(write(_parquet_tables(unpacked, how)))
    file = CsvFile(open_file, how, "\t" if kind == "tsv" else ",")
    try:
        return Written(file.written(write), file.dropped, file.broken)
    except UnevenError:
        what = file.uneven()
        with explained(uri, kind, how):
            raise ValueError(what) from None


def _parquet_tables(path: Path, how: ReadConfig) -> Iterator[pa.Table]:
    # Otherwise Arrow fetches the whole file at once.
    with parquet.ParquetFile(path, pre_buffer=False) as file:
        for batch in file.iter_batches(columns=list(how.columns) or None):
            table = pa.Table.from_batches([batch])
            if unchecked(table) or odd_years(table):
                raise ReadWholeError
            yield as_asked(table, how)
