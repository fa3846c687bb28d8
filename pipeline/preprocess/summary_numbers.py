"""The mergeable summary of a column of numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.encoding import possible
from pipeline.preprocess.config import NumericConfig
from pipeline.preprocess.row_hash import hash_numbers
from pipeline.preprocess.summary_cells import Cells, Distinct, Floats, Moments, occurring


class Numbers:
    """Everything that is fitted on a column of numbers.

    Args:
        name: The column.
        how: What the column is.

    Attributes:
        rows: Rows seen.
        cells: Its possible numbers.
        moments: Of what becomes of them: clipped where `how` gives the bounds, then logged.
        whole: Whether all are whole numbers.
        distinct: How many different ones there are.
    """

    dtype = np.dtype(np.float64)

    def __init__(self, name: str, how: NumericConfig) -> None:
        self.name = name
        self.how = how
        self.rows = 0
        self.cells = Cells()
        self.moments = Moments()
        self.whole = True
        self._distinct = Distinct()

    def add(self, values: pd.Series[Any]) -> None:
        """Adds rows in served dtypes."""
        numbers = values.to_numpy(dtype=np.float64)
        self.rows += len(numbers)
        present = numbers[possible(numbers, *(self.how.range or (None, None)))]
        if self.how.dense:
            self.moments.add(self.scaled(present))
        different, counts = occurring(present)
        self.cells.add(different, counts)
        self.whole = self.whole and _are_whole(different)
        if self.whole:
            self._distinct.add(hash_numbers(different))

    def merge(self, other: Numbers) -> None:
        """Adds what `other` has seen of the same column."""
        self.rows += other.rows
        self.cells.merge(other.cells)
        self.moments.merge(other.moments)
        self.whole = self.whole and other.whole
        self._distinct.merge(other._distinct)

    @property
    def present(self) -> int:
        """Rows with a possible number."""
        return self.cells.rows

    @property
    def distinct(self) -> int:
        """Different numbers; beyond 65,536 only of whole numbers, and nearly."""
        return len(self.cells.numbers) if self.cells.exact else self._distinct.count

    @property
    def commonest(self) -> tuple[float, float]:
        """The commonest number, NaN for missing, and its share of the rows."""
        gone = self.rows - self.present
        most = int(self.cells.counts.max(initial=0))
        if gone >= most:
            return float("nan"), gone / max(self.rows, 1)
        return float(self.cells.numbers[self.cells.counts.argmax()]), most / self.rows

    def bounds(self) -> tuple[float | None, float | None]:
        """What the numbers are clipped to."""
        if self.how.clip_quantiles:
            low, high = self.cells.quantiles(self.how.clip_quantiles).tolist()
            return low, high
        return self.how.clip or (None, None)

    def clipped(self, numbers: Floats) -> Floats:
        """Numbers within the bounds."""
        low, high = self.bounds()
        return numbers if low is None and high is None else np.clip(numbers, low, high)

    def scaled(self, present: Floats) -> Floats:
        """What becomes of numbers before they are scaled; quantiles to clip at come later."""
        clip = self.how.clip or (None, None)
        clipped = present if clip == (None, None) else np.clip(present, *clip)
        return self.logged(clipped)

    def logged(self, numbers: Floats) -> Floats:
        """Their signed logarithm, where `how` asks for it."""
        return np.sign(numbers) * np.log1p(np.abs(numbers)) if self.how.log else numbers

    def scaled_moments(self) -> Moments:
        """Of what becomes of the numbers before they are scaled."""
        if not self.how.clip_quantiles:
            return self.moments
        return Moments.of(self.logged(self.clipped(self.cells.numbers)), self.cells.counts)

    def scaled_median(self) -> float:
        """The middle of what becomes of the numbers, or the mean of the two in the middle."""
        ranks = np.array([(self.present - 1) // 2, self.present // 2])
        return float(self.logged(self.clipped(self.cells.at(ranks))).mean())


def _are_whole(numbers: Floats) -> bool:
    return not (numbers[:1000] % 1).any() and not (numbers % 1).any()
