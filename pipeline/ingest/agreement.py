"""Columns that the data set's config names, held against those that its sources bring.

Asked while the config is composed, before a file is opened: only a source that lists its `columns`
says which ones it brings, and `pii` which ones it leaves out. The rest is found by `ingest`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.core.errors import ConfigError, wrong_name
from pipeline.core.schema import build, lookup
from pipeline.ingest.config import FileSource, JoinConfig, PiiDrop, Source, SqlSource

Names = tuple[str, ...] | None
"""Columns of a table in their order; None where only the table itself can say."""


def agree(params: Mapping[str, Any]) -> None:
    """Refuses columns that no source brings, as far as the sources say what they bring.

    Args:
        params: The whole composed config.

    Raises:
        ConfigError: Names the key, the column, and the columns there are.
    """
    source: Source = build(Source, lookup(params, "data.source"), "data.source")  # type: ignore[arg-type]
    joins = build(dict[str, JoinConfig], lookup(params, "data.joins"), "data.joins")
    main = _brought(source, "data.source")
    added: Names = ()
    for name, join in joins.items():
        key = f"data.joins.{name}"
        if main is not None and added is not None:
            _require(key, _asked_of_main(join), (*main, *added), "columns of the main table")
        new = _new_columns(join, key)
        added = None if added is None or new is None else (*added, *new)
    if added is None:
        return
    if main is None:
        _refuse_dropped(source, added, params)
        return
    for key, column in _named(params):
        _require(key, (column,), (*main, *added), "columns that data.source and data.joins bring")


def _brought(source: Source, key: str) -> Names:
    """What a source brings; refuses options that are about columns it does not read."""
    if isinstance(source, SqlSource) or not source.columns:
        return None
    _require(f"{key}.dtypes", tuple(source.dtypes), source.columns, f"{key}.columns")
    _require(f"{key}.pii", tuple(source.pii), source.columns, f"{key}.columns")
    kept = [name for name in source.columns if not _dropped(source, name)]
    if isinstance(source, FileSource) and source.span and source.span.column:
        kept.append(source.span.column)
    return tuple(kept)


def _dropped(source: Source, name: str) -> bool:
    return isinstance(source.pii.get(name), PiiDrop)


def _asked_of_main(join: JoinConfig) -> tuple[str, ...]:
    moment = (join.before.column,) if join.before else ()
    return (*(join.key or join.left_key), *moment)


def _new_columns(join: JoinConfig, key: str) -> Names:
    """What a join adds to the main table; refuses columns that its own source does not bring."""
    partner = _brought(join.source, f"{key}.source")
    moment = (join.before.right_column or join.before.column,) if join.before else ()
    known_by = (*(join.key or join.right_key), *moment)
    if partner is not None:
        asked = (*known_by, *join.columns, *join.clip)
        _require(key, asked, partner, f"columns that {key}.source brings")
    if not join.columns and partner is None:
        return None
    taken = join.columns or tuple(name for name in partner or () if name not in known_by)
    age = (f"{join.prefix}hours_ago",) if join.before and join.before.age else ()
    return (*(f"{join.prefix}{name}" for name in taken), *age)


def _named(params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every raw column that the data set names, after the key that names it."""
    for name in lookup(params, "data.columns"):
        yield "data.columns", name
    yield "data.label.column", lookup(params, "data.label.column")
    split = lookup(params, "data.split")
    if "column" in split:
        yield "data.split.column", split["column"]
    for name in split.get("columns", ()):
        yield "data.split.columns", name


def _require(key: str, asked: tuple[str, ...], known: tuple[str, ...], what: str) -> None:
    for name in asked:
        if name not in known:
            raise wrong_name(key, name, known, what, "correct the name, or bring the column")


def _refuse_dropped(source: Source, added: tuple[str, ...], params: Mapping[str, Any]) -> None:
    for key, name in _named(params):
        if _dropped(source, name) and name not in added:
            raise ConfigError(
                f"config key '{key}' names '{name}', which data.source.pii drops",
                expected="columns that are still there when the table has been read",
                remedy=f"remove '{name}' there, or choose hash or generalise in its place",
            )
