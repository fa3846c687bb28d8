"""Reads the rows of a SQL query; user names and passwords appear in no message and no record."""

from __future__ import annotations

import decimal
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from pipeline.core.errors import DataError, PipelineError
from pipeline.core.parquet import parquet_rows
from pipeline.core.records import FileFacts
from pipeline.ingest.config import SqlSource
from pipeline.ingest.privacy import protect
from pipeline.ingest.rows import Portion, Rows

_FETCHED_ROWS = 10_000
_PORTION_ROWS = 250_000

_UNTOLD = ValueError("(not told in full: the source holds personal data)")


def bring_answer(source: SqlSource, root: Path, target: Path) -> Rows:
    """Runs the query and writes its rows, protected, as they are fetched.

    Memory holds a portion of `_PORTION_ROWS` rows, as far as the database's driver hands rows out
    before it has them all.

    Args:
        source: Address and query.
        root: The project folder, which relative SQLite paths start from.
        target: The Parquet file of the first portion; those of further ones stand beside it.

    Raises:
        PipelineError: The variable that should hold the address is not set, or holds no URL.
        DataError: The database does not answer, refuses the query, or answers without rows or
            with a column of mixed types.
    """
    url = _address(source, root)
    uri = _spoken(url, root)
    portions: list[Portion] = []
    schemas: list[pa.Schema] = []
    for table in _gathered(_fetched(source, url, uri), uri):
        path = target.with_stem(f"{target.stem}-{len(portions)}") if portions else target
        with parquet_rows(path) as write:
            write(protect(table, source.pii, uri))
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        portions.append(Portion(path, FileFacts(uri=uri, sha256=sha256, rows=table.num_rows)))
        schemas.append(table.schema)
    if not portions:
        raise DataError(
            f"the query on {uri} answers without rows",
            expected="at least one row",
            remedy="correct query in the source",
        )
    for name in source.pii:
        if len(types := _types(name, schemas)) > 1:
            raise _mixed(name, types, uri)  # 3 and 3.0 have different hashes
    common = _together([one.schema.empty_table() for one in portions], uri).schema
    for portion in portions:
        # A whole number beyond 53 bits does not fit among floating ones.
        for table in portion.tables(None) if portion.schema != common else ():
            _together([common.empty_table(), table], uri)
    return Rows(_facts_of(portions), common, tuple(portions))


def _facts_of(portions: Sequence[Portion]) -> FileFacts:
    """Of the answer; equal rows give an equal hash."""
    first, *more = (one.facts for one in portions)
    if not more:
        return first
    hashes = "".join(one.facts.sha256 for one in portions)
    return FileFacts(
        uri=first.uri,
        sha256=hashlib.sha256(hashes.encode()).hexdigest(),
        rows=sum(one.facts.rows for one in portions),
    )


def _fetched(source: SqlSource, url: sqlalchemy.URL, uri: str) -> Iterator[pa.Table]:
    """The answer in tables of `_FETCHED_ROWS` rows; columns without a value are of type null."""
    try:
        engine = sqlalchemy.create_engine(url)
    except (SQLAlchemyError, ImportError) as error:
        raise _failed(uri, error, url) from None
    try:
        with engine.connect().execution_options(stream_results=True) as connection:
            answer = connection.execute(sqlalchemy.text(source.query))
            names = _names(answer.keys(), uri)
            for rows in answer.partitions(_FETCHED_ROWS):
                values = zip(names, zip(*rows, strict=True), strict=True)
                yield pa.table({name: _column(name, list(its), uri) for name, its in values})
    except SQLAlchemyError as error:
        told = _UNTOLD if source.pii else error
        raise _failed(uri, told, url) from None
    finally:
        engine.dispose()


def _gathered(tables: Iterable[pa.Table], uri: str) -> Iterator[pa.Table]:
    """Tables of `_PORTION_ROWS` rows and more."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(one.num_rows for one in waiting) >= _PORTION_ROWS:
            yield _together(waiting, uri)
            waiting = []
    if waiting:
        yield _together(waiting, uri)


def _together(tables: Sequence[pa.Table], uri: str) -> pa.Table:
    """Tables of the same columns under each other; types become wider where they can."""
    columns: dict[str, pa.ChunkedArray] = {}
    for name in tables[0].column_names:
        parts = [one.select([name]) for one in tables]
        try:
            columns[name] = pa.concat_tables(parts, promote_options="permissive")[name]
        except pa.ArrowException:
            raise _mixed(name, _types(name, [one.schema for one in parts]), uri) from None
    return pa.table(columns)


def _types(name: str, schemas: Iterable[pa.Schema]) -> set[str]:
    return {str(one.field(name).type) for one in schemas if one.field(name).type != pa.null()}


def _address(source: SqlSource, root: Path) -> sqlalchemy.URL:
    text = source.url or os.environ.get(source.url_env or "", "")
    if not text:
        raise PipelineError(
            f"the environment variable {source.url_env} is not set",
            expected="the SQLAlchemy URL of the database in it",
            remedy=f"export {source.url_env}=DIALECT://USER:PASSWORD@HOST/DATABASE",
        )
    try:
        url = sqlalchemy.make_url(text)
    except ArgumentError:
        where = "url in the source" if source.url else f"the environment variable {source.url_env}"
        raise PipelineError(
            f"{where} is no SQLAlchemy URL",
            expected="DIALECT://USER:PASSWORD@HOST/DATABASE or sqlite:///PATH",
            remedy=f"correct {where}",
        ) from None
    if url.get_backend_name() != "sqlite":
        return url
    # SQLite would silently make an empty database where there is none.
    path = root / (url.database or "")
    if not path.is_file():
        raise DataError(
            f"there is no SQLite database at {url.database}",
            expected=f"a file at {path}",
            remedy="correct the address in the source or its variable",
        )
    return url.set(database=str(path))


def _spoken(url: sqlalchemy.URL, root: Path) -> str:
    database = (url.database or "").removeprefix(f"{root}/")
    return f"{url.get_backend_name()}://{url.host or ''}/{database}"


def _failed(uri: str, error: Exception, url: sqlalchemy.URL) -> DataError:
    reason = str(getattr(error, "orig", None) or error)
    for secret in (url.password, url.username):
        if secret:
            reason = reason.replace(str(secret), "***")
    return DataError(
        f"the query on {uri} failed: {reason[:400]}",
        expected="a SELECT statement that this database answers",
        remedy="correct query or address in the source; install the database's driver",
    )


def _names(names: Iterable[str], uri: str) -> list[str]:
    found = list(names)
    if twice := sorted({name for name in found if found.count(name) > 1}):
        raise DataError(
            f"the query on {uri} answers with columns of the same name: {', '.join(twice[:5])}",
            expected="each column name once",
            remedy="name them apart with AS in the query",
        )
    return found


def _column(name: str, values: list[Any], uri: str) -> pa.Array:
    try:
        if any(isinstance(value, decimal.Decimal) for value in values):
            return pa.array([None if value is None else float(value) for value in values])
        return pa.array(values)
    except (pa.ArrowException, ValueError, TypeError):
        kinds = {type(value).__name__ for value in values if value is not None}
        # Arrow quotes the value, which may be personal.
        raise _mixed(name, kinds, uri) from None


def _mixed(name: str, kinds: Iterable[str], uri: str) -> DataError:
    return DataError(
        f"column '{name}' of the query on {uri} mixes types: {', '.join(sorted(kinds))}",
        expected="one type in each column",
        remedy=f"use CAST({name} AS ...) in the query",
    )
