"""The training rows as fitting sees them: a summary of each column, and the rows block by block.

No column is ever in memory as a whole because of what stands here. The blocks have the same rows
whichever engine works, so that sums over them are the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from pipeline.preprocess.config import ColumnConfig
from pipeline.preprocess.summary import Summary, new_summary

BLOCK_ROWS = 1 << 16


class Rows(Protocol):
    """What fitting needs of the training rows."""

    def __getitem__(self, name: str, /) -> Any:
        """What is remembered of a column; raises a KeyError where its kind has no summary."""

    def blocks(self, names: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
        """Columns (None: all of them) of `BLOCK_ROWS` rows at a time, in order."""


@dataclass(frozen=True)
class FrameRows:
    """Training rows in memory.

    Attributes:
        frame: In served dtypes, with `records.LABEL`.
        columns: What each column is.
    """

    frame: pd.DataFrame
    columns: Mapping[str, ColumnConfig]
    _summaries: dict[str, Summary] = field(default_factory=dict)

    def __getitem__(self, name: str, /) -> Summary:
        """What is remembered of a column, worked out when it is first asked for."""
        if name not in self._summaries:
            values = self.frame[name]
            made: Any = new_summary(name, self.columns[name], always=values.dtype.kind == "b")
            if made is None:
                raise KeyError(name)
            made.add(values)
            self._summaries[name] = made
        return self._summaries[name]

    def blocks(self, names: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
        """Columns (None: all of them) of `BLOCK_ROWS` rows at a time, in order."""
        frame = self.frame if names is None else self.frame[list(names)]
        for start in range(0, len(frame), BLOCK_ROWS):
            yield frame.iloc[start : start + BLOCK_ROWS]


@dataclass(frozen=True)
class FileRows:
    """Training rows that stay on disk, and what is remembered of their columns.

    Attributes:
        summaries: By column, of the kinds that have one.
        path: Gives the file of the rows, once they all are in it.
    """

    summaries: Mapping[str, Summary]
    path: Callable[[], Path]

    def __getitem__(self, name: str, /) -> Summary:
        """What is remembered of a column."""
        return self.summaries[name]

    def blocks(self, names: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
        """Columns (None: all of them) of `BLOCK_ROWS` rows at a time, in order."""
        waiting: list[pa.RecordBatch] = []
        for batch in self._batches(names):
            waiting.append(batch)
            if sum(one.num_rows for one in waiting) >= BLOCK_ROWS:
                table = pa.Table.from_batches(waiting)
                yield table.slice(0, BLOCK_ROWS).to_pandas()
                waiting = table.slice(BLOCK_ROWS).to_batches()
        if waiting:
            yield pa.Table.from_batches(waiting).to_pandas()

    def _batches(self, names: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        columns = None if names is None else list(names)
        with parquet.ParquetFile(self.path()) as file:
            for group in range(file.num_row_groups):
                yield from file.iter_batches(BLOCK_ROWS, row_groups=[group], columns=columns)
