"""Rows that nobody has seen yet, read as `ingest` reads the data set's own source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from pipeline.compose.compose import compose, validate
from pipeline.compose.overrides import read_overrides
from pipeline.core.artifacts import Artifacts
from pipeline.core.errors import UsageError, nearest
from pipeline.core.records import FileFacts
from pipeline.ingest import STAGE as INGEST
from pipeline.ingest.config import FileSource, IngestStageConfig, ReadConfig, SqlSource
from pipeline.ingest.join import left_join
from pipeline.ingest.locate import local_file
from pipeline.ingest.privacy import protect
from pipeline.ingest.read import read_table
from pipeline.ingest.read_csv import broken_rows, dropped_rows
from pipeline.ingest.stage import bring, lost_digits
from pipeline.preprocess import STAGE as PREPROCESS
from pipeline.preprocess.config import PreprocessStageConfig
from pipeline.preprocess.contract_records import Anomaly, AnomalyKind
from pipeline.preprocess.contract_training import Seen, Training
from pipeline.preprocess.raw import parts
from pipeline.runner.stages import CONFIGURED

_OF_THE_FILE = {"format", "compression", "columns", "dtypes", "sha256", "pii"}
"""Options of the source that say something about its own file alone."""


def data_params(root: Path, name: str | None) -> dict[str, Any]:
    """The composed config with the data set `name`; None takes that of the last run.

    Raises:
        ConfigError: There is no such data set, or its config is wrong.
    """
    params = compose(root, [f"data={name}"] if name else read_overrides(root))
    validate(params, CONFIGURED)
    return params


def preprocess_config(params: dict[str, Any]) -> PreprocessStageConfig:
    """The config of stage `preprocess`."""
    made: PreprocessStageConfig = PREPROCESS.configure(params)
    return made


@dataclass(frozen=True)
class NewRows:
    """Rows that nobody has seen yet.

    Attributes:
        frame: The rows.
        unread: What of the file could not be read as it stands.
    """

    frame: pd.DataFrame
    unread: tuple[Anomaly, ...]


def new_rows(path: str, params: dict[str, Any], root: Path) -> NewRows:
    """Reads a file with the options of the data set's source, and joins what it lacks.

    The joins run where the file lacks a column that the data set declares; a file that has them
    all, such as one of served rows, is taken as it is.

    Args:
        path: A CSV, TSV, Parquet or JSONL file, or a URL, compressed or not.
        params: The composed config.
        root: The project folder, which relative paths start from.

    Raises:
        UsageError: There is no such file.
        DataError: It cannot be read, or cannot be joined.
    """
    config: IngestStageConfig = INGEST.configure(params)
    table, unread = _read(path, config, root)
    wanted = {column for column, _ in parts(preprocess_config(params)).values()}
    if wanted <= set(table.column_names) or not config.joins:
        return NewRows(table.to_pandas(), unread)
    known: dict[str, tuple[pa.Table, FileFacts]] = {}
    for name, join in config.joins.items():
        partner, _ = bring(join.source, root, known)
        table, _ = left_join(table, partner, name, join)
    return NewRows(table.to_pandas(), unread)


def training_rows(artifacts: Artifacts, config: PreprocessStageConfig) -> Training | None:
    """What the training rows of the last run were like; None where it was of other data."""
    if not artifacts.features.path.exists():
        return None
    features = artifacts.features.read()
    names = [column.name for column in features.columns]
    if features.label.column != config.label.column or not set(names) <= set(config.columns):
        return None
    split = artifacts.split("train")
    # One column at a time: a wide table need not fit into memory twice.
    seen = {name: Seen.of(split.read([name])[name]) for name in names}
    source = artifacts.source
    raw_columns = source.read().columns if source.path.exists() else ()
    return Training(seen, frozenset(raw_columns), features.label.classes)


def _read(path: str, config: IngestStageConfig, root: Path) -> tuple[pa.Table, tuple[Anomaly, ...]]:
    how = FileSource(kind="file", path=_existing(path), **_options(config))
    with local_file(how, root) as file:
        table = read_table(file.path, file.uri, how)
        dtypes = {} if isinstance(config.source, SqlSource) else config.source.dtypes
        known = {name: kind for name, kind in dtypes.items() if name in table.column_names}
        if known:
            table = read_table(file.path, file.uri, replace(how, dtypes=known))
    named = {name: way for name, way in config.source.pii.items() if name in table.column_names}
    return protect(table, named, file.uri), tuple(_unread(table))


def _unread(table: pa.Table) -> Iterator[Anomaly]:
    """What `ingest` warns of as it reads."""
    dropped, broken = dropped_rows(table), broken_rows(table)
    if dropped:
        said = f"{dropped:,} rows are malformed and left out"
        yield _warning("bad_rows", None, dropped, dropped + table.num_rows, said)
    if broken:
        said = f"{broken:,} rows hold text of another encoding"
        yield _warning("bad_text", None, broken, table.num_rows, said)
    for field in table.schema:
        lost = lost_digits(table[field.name]) if pa.types.is_float64(field.type) else 0
        if lost:
            said = f"{lost:,} whole numbers are beyond 64 bits; some 16 digits of them are kept"
            yield _warning("lost_digits", field.name, lost, table.num_rows, said)


def _warning(kind: AnomalyKind, column: str | None, rows: int, of: int, said: str) -> Anomaly:
    return Anomaly(
        kind=kind, severity="warning", column=column, rows=rows, fraction=rows / of, text=said
    )


def _options(config: IngestStageConfig) -> dict[str, Any]:
    if isinstance(config.source, SqlSource):
        return {}
    names = {one.name for one in fields(ReadConfig)} - _OF_THE_FILE
    return {name: getattr(config.source, name) for name in names}


def _existing(path: str) -> str:
    if "://" in path:
        return path
    found = Path(path).resolve()
    if not found.is_file():
        names = [one.name for one in found.parent.iterdir()] if found.parent.is_dir() else []
        near = nearest(found.name, names)
        raise UsageError(
            f"there is no file {path}",
            expected="a CSV, TSV, Parquet or JSONL file, compressed or not",
            remedy=f"did you mean {near[0]}?" if near else "",
        )
    return str(found)
