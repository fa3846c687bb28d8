"""Rows that nobody has seen yet, read as `ingest` reads the data set's own source."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.compose.compose import compose, validate
from pipeline.compose.overrides import read_overrides
from pipeline.core.artifacts import Artifacts, Table
from pipeline.core.errors import UsageError, nearest
from pipeline.core.parquet import parquet_rows
from pipeline.ingest import STAGE as INGEST
from pipeline.ingest.config import FileSource, IngestStageConfig, ReadConfig, SqlSource
from pipeline.ingest.join import Joined
from pipeline.ingest.rows import Portion, scratch_folder
from pipeline.ingest.sources import Sources
from pipeline.ingest.stage import beyond_64_bits
from pipeline.preprocess import STAGE as PREPROCESS
from pipeline.preprocess.config import PreprocessStageConfig
from pipeline.preprocess.contract import Contract
from pipeline.preprocess.contract_records import Anomaly, AnomalyKind
from pipeline.preprocess.contract_training import Seen, Training
from pipeline.preprocess.parts import table_batches
from pipeline.preprocess.raw import parts
from pipeline.runner.stages import CONFIGURED

_OF_THE_FILE = {"format", "compression", "columns", "sha256"}
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
        table: The rows, on disk for as long as they are looked at.
        rows: How many there are.
        unread: What of the file could not be read as it stands.
        scratch: A folder that lives as long.
    """

    table: Table
    rows: int
    unread: tuple[Anomaly, ...]
    scratch: Path

    @property
    def names(self) -> list[str]:
        """All columns."""
        with self.table.parts() as file:
            return list(file.schema_arrow.names)

    def column(self, name: str) -> pd.Series[Any]:
        """One column, in memory."""
        return self.table.read([name])[name]

    def batches(self, config: PreprocessStageConfig) -> Iterator[pd.DataFrame]:
        """The columns that take part, some rows at a time, numbered."""
        asked = dict.fromkeys(column for column, _ in parts(config).values())
        wanted = [name for name in asked if name in self.names]
        return table_batches(self.table, wanted, config.preprocess.stream.batch_rows)

    def anomalies(
        self, config: PreprocessStageConfig, training: Training | None
    ) -> tuple[Anomaly, ...]:
        """The rows held against the contract; memory does not grow with them."""
        contract = Contract(self.names, self.rows, config, training, self.scratch)
        return contract.held(lambda: self.batches(config))


@contextmanager
def new_rows(path: str, params: dict[str, Any], root: Path) -> Iterator[NewRows]:
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
    source = FileSource(kind="file", path=_existing(path), **_options(config))
    with scratch_folder(root) as scratch:
        sources = Sources(root, scratch, config.ingest.stream_above_bytes)
        rows = sources.bring(source, strict=False)
        (portion,) = rows.portions
        table, unread = Table(portion.path), tuple(_unread(portion))
        wanted = {column for column, _ in parts(preprocess_config(params)).values()}
        if config.joins and not wanted <= set(rows.schema.names):
            table = Table(scratch / "joined.parquet")
            joined = Joined(rows.schema)
            for name, join in config.joins.items():
                joined.add(name, join, sources.bring(join.source))
            with parquet_rows(table.path) as write:
                for one in rows.tables():
                    write(joined.widen(one))
        yield NewRows(table, rows.facts.rows, unread, scratch)


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


def _unread(portion: Portion) -> Iterator[Anomaly]:
    """What `ingest` warns of as it reads."""
    facts = portion.facts
    if dropped := facts.dropped_rows:
        said = f"{dropped:,} rows are malformed and left out"
        yield _warning("bad_rows", None, dropped, dropped + facts.rows, said)
    if broken := facts.broken_rows:
        said = f"{broken:,} rows hold text of another encoding"
        yield _warning("bad_text", None, broken, facts.rows, said)
    for name, lost in beyond_64_bits(portion.path).items():
        said = f"{lost:,} whole numbers are beyond 64 bits; some 16 digits of them are kept"
        yield _warning("lost_digits", name, lost, facts.rows, said)


def _warning(kind: AnomalyKind, column: str | None, rows: int, of: int, said: str) -> Anomaly:
    return Anomaly(
        kind=kind, severity="warning", column=column, rows=rows, fraction=rows / of, text=said
    )


def _options(config: IngestStageConfig) -> dict[str, Any]:
    if isinstance(config.source, SqlSource):
        return {"pii": config.source.pii}
    names = {one.name for one in fields(ReadConfig)} - _OF_THE_FILE
    return {name: getattr(config.source, name) for name in names}


def _existing(path: str) -> str:
    if "://" in path:
        return path
    found = Path(path).resolve()
    if not found.is_file():
        beside = found.parent.iterdir() if found.parent.is_dir() else []
        names = [one.name for one in beside if one.is_file()]
        near = nearest(found.name, names)
        raise UsageError(
            f"there is no file {path}",
            expected="a CSV, TSV, Parquet or JSONL file, compressed or not",
            remedy=f"did you mean {near[0]}?" if near else "",
        )
    return str(found)
