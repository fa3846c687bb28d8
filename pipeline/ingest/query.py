"""Reads the rows of a SQL query; user names and passwords appear in no message and no record."""

from __future__ import annotations

import decimal
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from pipeline.core.errors import DataError, PipelineError
from pipeline.ingest.config import SqlSource

_UNTOLD = ValueError("(not told in full: the source holds personal data)")


def query_table(source: SqlSource, root: Path) -> tuple[pa.Table, str]:
    """Runs the query.

    Args:
        source: Address and query.
        root: The project folder, which relative SQLite paths start from.

    Returns:
        The answer, and the database's address for people.

    Raises:
        PipelineError: The variable that should hold the address is not set, or holds no URL.
        DataError: The database does not answer, refuses the query, or answers without rows or
            with a column of mixed types.
    """
    url = _address(source, root)
    uri = _spoken(url, root)
    try:
        engine = sqlalchemy.create_engine(url)
    except (SQLAlchemyError, ImportError) as error:
        raise _failed(uri, error, url) from None
    try:
        with engine.connect() as connection:
            answer = connection.execute(sqlalchemy.text(source.query))
            names, rows = list(answer.keys()), answer.fetchall()
    except SQLAlchemyError as error:
        told = _UNTOLD if source.pii else error
        raise _failed(uri, told, url) from None
    finally:
        engine.dispose()
    return _as_table(names, rows, uri), uri


def table_sha256(table: pa.Table) -> str:
    """SHA-256 over names, types and values of the table, in hex: equal rows, equal hash."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()


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


def _as_table(names: Sequence[str], rows: Sequence[Sequence[Any]], uri: str) -> pa.Table:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"the query on {uri} answers with columns of the same name: {', '.join(twice[:5])}",
            expected="each column name once",
            remedy="name them apart with AS in the query",
        )
    if not rows:
        raise DataError(
            f"the query on {uri} answers without rows",
            expected="at least one row",
            remedy="correct query in the source",
        )
    values = zip(*rows, strict=True)
    return pa.table(
        {name: _column(name, list(v), uri) for name, v in zip(names, values, strict=True)}
    )


def _column(name: str, values: list[Any], uri: str) -> pa.Array:
    try:
        if any(isinstance(value, decimal.Decimal) for value in values):
            return pa.array([None if value is None else float(value) for value in values])
        return pa.array(values)
    except (pa.ArrowException, ValueError, TypeError):
        kinds = sorted({type(value).__name__ for value in values if value is not None})
        raise DataError(
            f"column '{name}' of the query on {uri} mixes types: {', '.join(kinds)}",
            expected="one type in each column",
            remedy=f"use CAST({name} AS ...) in the query",
        ) from None  # Arrow quotes the value, which may be personal
