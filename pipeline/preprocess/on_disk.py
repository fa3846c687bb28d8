"""A table that stays on disk and is read one column, or a few rows, at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet


class Rows(Protocol):
    """What fitting and describing need of a table: a frame has it, and `TableOnDisk`."""

    def __getitem__(self, name: str, /) -> Any:
        """One column as a series."""

    def __len__(self) -> int:
        """How many rows there are."""

    def take(self, indices: Any) -> pd.DataFrame:
        """Some rows of all columns, by position."""


@dataclass(frozen=True)
class TableOnDisk:
    """A Parquet file that holds served types.

    Attributes:
        path: The file.
    """

    path: Path

    def __getitem__(self, name: str, /) -> pd.Series[Any]:
        """One column."""
        column: pd.Series[Any] = parquet.read_table(self.path, columns=[name]).to_pandas()[name]
        return column

    def __len__(self) -> int:
        """How many rows there are."""
        return self._rows

    @cached_property
    def _rows(self) -> int:
        return int(parquet.read_metadata(self.path).num_rows)

    def take(self, indices: Any) -> pd.DataFrame:
        """The rows at `indices`, which increase."""
        wanted = np.asarray(indices)
        parts, start = [], 0
        for frame in self.batches():
            here = wanted[(wanted >= start) & (wanted < start + len(frame))]
            parts.append(frame.take(here - start))
            start += len(frame)
        return pd.concat(parts, ignore_index=True)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
        """All rows, a row group at a time."""
        with parquet.ParquetFile(self.path) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, columns=columns).to_pandas()


class Writer:
    """Writes frames under each other into one Parquet file, each a row group of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Any = None

    def write(self, frame: pd.DataFrame) -> None:
        """Adds the rows of `frame`; the first one decides about columns and types."""
        table = pa.Table.from_pandas(frame, preserve_index=False)
        if self._file is None:
            self._file = parquet.ParquetWriter(self._path, table.schema, compression="zstd")
        if len(frame):
            self._file.write_table(table)

    def __enter__(self) -> Writer:
        """Opens nothing yet: the types are known with the first rows."""
        return self

    def __exit__(self, *_: object) -> None:
        """Completes the file."""
        if self._file is not None:
            self._file.close()
