"""What is remembered of each column of the training rows, so that features can be fitted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.preprocess.config import (
    BooleanConfig,
    CategoricalConfig,
    ColumnConfig,
    DatetimeConfig,
    ListConfig,
    NumericConfig,
    TargetConfig,
    TextConfig,
)
from pipeline.preprocess.summary_bags import Bag
from pipeline.preprocess.summary_cells import Moments
from pipeline.preprocess.summary_numbers import Numbers
from pipeline.preprocess.summary_words import Dates, Truths, Words

Summary = Numbers | Words | Truths | Dates | Bag
"""Each has the column's `name` and served `dtype`, and `commonest`."""


class LabelSummary:
    """The label of the training rows.

    Args:
        classes: How many classes there are; 0 for a regression.

    Attributes:
        counts: Rows of each class.
        moments: Of the values of a regression.
    """

    def __init__(self, classes: int) -> None:
        self.counts = np.zeros(classes, np.int64)
        self.moments = Moments()

    def add(self, values: NDArray[Any]) -> None:
        """Adds class indices, or values."""
        if len(self.counts):
            self.counts += np.bincount(values.astype(np.int64), minlength=len(self.counts))
        else:
            self.moments.add(values.astype(np.float64))

    def merge(self, other: LabelSummary) -> None:
        """Adds what `other` has seen."""
        self.counts = self.counts + other.counts
        self.moments.merge(other.moments)


def new_summary(name: str, how: ColumnConfig, *, always: bool = False) -> Summary | None:
    """An empty summary of a column; None for places and for kinds that are no features.

    Args:
        name: The column.
        how: What the column is.
        always: Of a truth value, whether no row of the table misses it.
    """
    match how:
        case NumericConfig():
            return Numbers(name, how)
        case CategoricalConfig() | TargetConfig():
            return Words(name)
        case BooleanConfig():
            return Truths(name, always=always)
        case DatetimeConfig():
            return Dates(name)
        case TextConfig() | ListConfig():
            return Bag(name, how)
    return None
