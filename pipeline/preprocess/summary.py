"""What is remembered of each column of the training rows, so that features can be fitted."""

from __future__ import annotations

from typing import Any, Protocol, Self

import pandas as pd

from pipeline.preprocess.config import (
    BooleanConfig,
    CategoricalConfig,
    ColumnConfig,
    DatetimeConfig,
    NumericConfig,
)
from pipeline.preprocess.summary_numbers import Numbers
from pipeline.preprocess.summary_words import Dates, Truths, Words

Summary = Numbers | Words | Truths | Dates
"""Each has the column's `name` and served `dtype`, and `commonest`."""


class Mergeable(Protocol):
    """What all summaries can do."""

    def add(self, values: Any) -> None:
        """Adds values."""

    def merge(self, other: Self) -> None:
        """Adds what the other has seen."""


def new_summary(name: str, how: ColumnConfig, *, always: bool = False) -> Summary | None:
    """An empty summary of a column; None for a kind that is fitted on the column itself.

    Args:
        name: The column.
        how: What the column is.
        always: Of a truth value, whether no row of the table misses it.
    """
    match how:
        case NumericConfig():
            return Numbers(name, how)
        case CategoricalConfig():
            return Words(name)
        case BooleanConfig():
            return Truths(name, always=always)
        case DatetimeConfig():
            return Dates(name)
    return None


def summarised(values: pd.Series[Any] | Summary, how: ColumnConfig) -> Any:
    """The summary of a column; the column itself where its kind has none, or it is one already."""
    if not isinstance(values, pd.Series):
        return values
    summary = new_summary(str(values.name), how, always=values.dtype.kind == "b")
    if summary is None:
        return values
    summary.add(values)
    return summary
