"""The rows of a source on their way: protected, in Parquet files under each other.

Whatever a source is, its rows are written once as they are read, so that how many there are and of
which types is known before a sample is drawn, files are stacked or a partner is sought. From then
on they pass by in batches.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from pipeline.core.artifacts import STATE
from pipeline.core.errors import DataError
from pipeline.core.processes import lives
from pipeline.core.records import FileFacts

_BATCH_ROWS = 250_000


@dataclass(frozen=True)
class Portion:
    """The rows of one file or query.

    Attributes:
        path: The Parquet file.
        facts: What was read.
        constant: Name and value of a column that says the same of every row; None for none.
    """

    path: Path
    facts: FileFacts
    constant: tuple[str, str] | None = None

    @property
    def schema(self) -> pa.Schema:
        """Names and types, with those of the constant column."""
        own = parquet.read_schema(self.path)
        return own if self.constant is None else own.append(pa.field(self.constant[0], pa.string()))

    def tables(self, columns: Sequence[str] | None) -> Iterator[pa.Table]:
        """The rows in batches."""
        # Otherwise Arrow fetches the whole file at once.
        with parquet.ParquetFile(self.path, pre_buffer=False) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=columns):
                table = pa.Table.from_batches([batch])
                if self.constant is not None:
                    name, value = self.constant
                    values = pa.array([value] * table.num_rows, pa.string())
                    table = table.append_column(name, values)
                yield table


@dataclass(frozen=True)
class Rows:
    """All rows of a source, every batch of the same columns and types.

    Attributes:
        facts: What was read.
        schema: Names and types.
        portions: Files under each other.
    """

    facts: FileFacts
    schema: pa.Schema
    portions: tuple[Portion, ...]

    @classmethod
    def of(cls, portion: Portion) -> Rows:
        """The rows of one file."""
        return cls(portion.facts, portion.schema, (portion,))

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows in batches, or some of their columns."""
        schema = self.schema
        if columns is not None:
            schema = pa.schema([schema.field(name) for name in columns])
        for portion in self.portions:
            for table in portion.tables(columns):
                yield fitted(schema, table, portion.facts.uri)

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows at once, in memory."""
        return pa.concat_tables(self.tables(columns))


def fitted(schema: pa.Schema, table: pa.Table, uri: str) -> pa.Table:
    """The rows under those of `schema`; types become wider where they can.

    Raises:
        DataError: A column is of a type that does not go with that of `schema`.
    """
    if table.schema.equals(schema):
        return table
    try:
        both = [schema.empty_table(), table.select(schema.names)]
        return pa.concat_tables(both, promote_options="permissive")
    except pa.ArrowException as error:
        raise DataError(
            f"a column of {uri} has another type than before: {error}",
            expected="one type for each column in every file of the span",
            remedy="set dtypes in the source, e.g. {column: string}",
        ) from None


@contextmanager
def scratch_folder(root: Path) -> Iterator[Path]:
    """An empty folder for rows on their way, removed at the end; a killed process's as well."""
    home = root / STATE / "scratch"
    for left in home.iterdir() if home.is_dir() else ():
        if not left.name.isdigit() or not lives(int(left.name)) or int(left.name) == os.getpid():
            shutil.rmtree(left, ignore_errors=True)
    folder = home / str(os.getpid())
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
