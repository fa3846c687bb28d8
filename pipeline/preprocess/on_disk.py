"""Training rows that stay on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
from pyarrow import parquet

from pipeline.preprocess.summary import Summary


class Rows(Protocol):
    """What fitting needs of the training rows: a frame has it, and `TrainingRows`."""

    def __getitem__(self, name: str, /) -> Any:
        """One column as a series, or what is remembered of it."""

    def __len__(self) -> int:
        """How many rows there are."""


@dataclass(frozen=True)
class TrainingRows:
    """The training rows on disk, and what is remembered of their columns.

    Attributes:
        summaries: By column, of the kinds that have one.
        path: The rows as Parquet.
        rows: How many there are.
    """

    summaries: Mapping[str, Summary]
    path: Path
    rows: int

    def __getitem__(self, name: str, /) -> pd.Series[Any] | Summary:
        """What is remembered of a column; the whole column where its kind is fitted on that."""
        if name in self.summaries:
            return self.summaries[name]
        column: pd.Series[Any] = parquet.read_table(self.path, columns=[name]).to_pandas()[name]
        return column

    def __len__(self) -> int:
        """How many rows there are."""
        return self.rows
