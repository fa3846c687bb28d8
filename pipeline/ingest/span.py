"""A source of many dated files: which of them take part, and reading only the new ones again."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from pipeline.core.artifacts import STATE
from pipeline.core.errors import DataError
from pipeline.core.parquet import parquet_rows
from pipeline.core.publishing import publish_file
from pipeline.core.records import FileFacts
from pipeline.core.schema import dump
from pipeline.ingest.config import FileSource, SpanConfig
from pipeline.ingest.locate import LocalFile, local_file
from pipeline.ingest.privacy import protect
from pipeline.ingest.read import EmptyTableError, read_table
from pipeline.ingest.read_csv import broken_rows, dropped_rows

PLACEHOLDER = "{date}"
_DATE = r"(\d{4})-?(\d{2})-?(\d{2})"
_CACHE = f"{STATE}/ingest"
_LAYOUT = 3
"""Part of a cached file's name: another way of reading makes other names."""


@dataclass(frozen=True)
class Dated:
    """A file of the pattern.

    Attributes:
        path: Where it lies, as the source says paths.
        date: The date in its name.
    """

    path: str
    date: datetime.date


def read_span(source: FileSource, span: SpanConfig, root: Path) -> tuple[pa.Table, FileFacts]:
    """Reads the files of the span, each as `source` says, under each other in order of date.

    A file that was read before is not parsed again: its table is kept in `.pipeline/ingest` under
    the SHA-256 of its bytes and options, unless it holds personal data.

    Raises:
        DataError: No file takes part, one cannot be read, or their columns do not fit.
    """
    files = span_files(source, span, root)
    folder = root / _CACHE / hashlib.sha256(source.path.encode()).hexdigest()[:16]
    tables, hashes, used = [], {}, set()
    empty: list[str] = []
    for file in files:
        how = replace(source, path=file.path, span=None)
        with local_file(how, root) as found:
            cached = folder / f"{_key(how, found.sha256)}.parquet"
            hashes[file.path] = found.sha256
            try:
                table = _read(found, how) if how.pii else _remembered(cached, found, how)
            except EmptyTableError as error:
                if len(empty) == len(files) - 1:
                    raise
                if span.empty_files == "error":
                    error.remedy = "fill the file, or set empty_files=drop in the span"
                    raise
                empty.append(file.path)
                continue
        used.add(cached)
        tables.append((_dated(table, file, span), file))
    _forget(folder, used)
    table = _stacked(tables)
    facts = FileFacts(
        uri=source.path,
        sha256=hashlib.sha256(json.dumps(hashes).encode()).hexdigest(),
        rows=table.num_rows,
        dropped_rows=sum(dropped_rows(one) for one, _ in tables),
        broken_rows=sum(broken_rows(one) for one, _ in tables),
        files=hashes,
        empty_files=tuple(empty),
    )
    return table, facts


def span_files(source: FileSource, span: SpanConfig, root: Path) -> list[Dated]:
    """The files that take part, the earliest first.

    Raises:
        DataError: There is no file of the pattern, or none in the span.
    """
    pattern = Path(source.path)
    name = re.compile(re.escape(pattern.name).replace(re.escape(PLACEHOLDER), _DATE, 1))
    folder = root / pattern.parent
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        match = name.fullmatch(path.name)
        date = _date(match) if match else None
        if date is not None:
            found.append(Dated((pattern.parent / path.name).as_posix(), date))
    found.sort(key=lambda one: (one.date, one.path))
    since, until = (_bound(one) for one in (span.since, span.until))
    chosen = [
        one
        for one in found
        if (since is None or one.date >= since) and (until is None or one.date <= until)
    ]
    chosen = chosen[-span.newest :] if span.newest is not None else chosen
    if not chosen:
        seen = f"of {found[0].date} to {found[-1].date}" if found else "at all"
        raise DataError(
            f"no file of {source.path} lies in the span; there are {len(found)} files {seen}",
            expected="at least one, with a date such as 2024-02-29 or 20240229 in its name",
            remedy="correct path or span in the source",
        )
    return chosen


def _date(match: re.Match[str]) -> datetime.date | None:
    year, month, day = map(int, match.groups())
    try:
        return datetime.date(year, month, day)
    except ValueError:
        return None


def _bound(text: str | None) -> datetime.date | None:
    return None if text is None else datetime.date.fromisoformat(text)


def _key(source: FileSource, sha256: str) -> str:
    options = {name: value for name, value in dump(source).items() if name != "path"}
    kind = Path(source.path).suffixes
    said = json.dumps([_LAYOUT, sha256, kind, options], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def _read(file: LocalFile, how: FileSource) -> pa.Table:
    return protect(read_table(file.path, file.uri, how), how.pii, file.uri)


def _remembered(cached: Path, file: LocalFile, how: FileSource) -> pa.Table:
    if cached.exists():
        try:
            return parquet.read_table(cached)
        except (OSError, pa.ArrowException):
            cached.unlink()  # damaged: read the file itself again
    table = _read(file, how)
    with publish_file(cached) as aside, parquet_rows(aside) as write:
        write(table)
    return table


def _forget(folder: Path, used: set[Path]) -> None:
    """Removes what no file of this span needs any more."""
    for path in folder.glob("*.parquet"):
        if path not in used:
            path.unlink()


def _dated(table: pa.Table, file: Dated, span: SpanConfig) -> pa.Table:
    if span.column is None:
        return table
    if span.column in table.column_names:
        raise DataError(
            f"{file.path} has a column '{span.column}' of its own",
            expected="a new name for the date of the file",
            remedy="choose another span.column in the source",
        )
    dates = pa.array([file.date.isoformat()] * table.num_rows, pa.string())
    return table.append_column(span.column, dates)


def _stacked(tables: Sequence[tuple[pa.Table, Dated]]) -> pa.Table:
    first, earliest = tables[0]
    whole = first.replace_schema_metadata(None)
    for table, file in tables[1:]:
        if set(table.column_names) != set(whole.column_names):
            odd = sorted(set(table.column_names) ^ set(whole.column_names))
            raise DataError(
                f"{file.path} and {earliest.path} differ in the columns {', '.join(odd[:10])}",
                expected="the same columns in every file of the span",
                remedy="narrow the span, or name under columns those that all files have",
            )
        try:
            whole = pa.concat_tables(
                [whole, table.replace_schema_metadata(None)], promote_options="permissive"
            )
        except pa.ArrowException as error:
            raise DataError(
                f"a column of {file.path} has another type than before: {error}",
                expected="one type for each column in every file of the span",
                remedy="set dtypes in the source, e.g. {column: string}",
            ) from None
    return whole
