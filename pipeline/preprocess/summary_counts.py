"""Mergeable counts that keep what is frequent and, where there is too much, forget what is rare."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

MOST_WORDS = 1 << 20
"""Up to so many different words of a column all of them are counted."""
_PENDING = 1 << 17

Ints = NDArray[np.int64]


class WordCounts:
    """Different words and how often each was counted.

    Exact up to `most` words. Beyond that the rarest are forgotten, and a count may be too small by
    `undercount` at most, which is below `counted / most` (Misra and Gries, 1982; merged as in
    Agarwal and others, "Mergeable Summaries", 2012).

    Args:
        most: Words kept at most.

    Attributes:
        undercount: By what a count may be too small; 0 where all are exact.
    """

    def __init__(self, most: int = MOST_WORDS) -> None:
        self.most = most
        self.undercount = 0
        self._parts: list[pa.Table] = []
        self._united = 0

    def add(self, words: pa.Array, counts: pa.Array) -> None:
        """Adds different words (large_string), and how often each occurs (int64)."""
        self._take(pa.table({"word": words, "count": counts}))

    def merge(self, other: WordCounts) -> None:
        """Adds what `other` has counted."""
        self.undercount += other.undercount
        for part in other._parts:
            self._take(part)

    @property
    def counts(self) -> pd.Series[Any]:
        """How often each word occurs; the words in order."""
        self._unite()
        if not self._parts:
            return pd.Series(dtype="int64")
        frame: pd.DataFrame = self._parts[0].to_pandas()
        return frame.set_index("word")["count"].sort_index()

    def __len__(self) -> int:
        """How many words are kept."""
        self._unite()
        return self._parts[0].num_rows if self._parts else 0

    def _take(self, part: pa.Table) -> None:
        self._parts.append(part)
        # Uniting costs as much as what is there: only when that has doubled.
        waiting = sum(one.num_rows for one in self._parts[self._united :])
        if waiting > max(_PENDING, self._parts[0].num_rows if self._united else 0):
            self._unite()

    def _unite(self) -> None:
        if len(self._parts) > 1:
            whole = pa.concat_tables(self._parts).combine_chunks()
            summed = whole.group_by("word", use_threads=False).aggregate([("count", "sum")])
            self._parts = [summed.select(["word", "count_sum"]).rename_columns(["word", "count"])]
        self._united = len(self._parts)
        if self._parts and self._parts[0].num_rows > self.most:
            self._forget()

    def _forget(self) -> None:
        counts = self._parts[0]["count"].to_numpy()
        kept, lost = _outliving(counts, self.most)
        words = self._parts[0]["word"].filter(pa.array(kept))
        self._parts = [pa.table({"word": words, "count": pa.array(counts[kept] - lost)})]
        self.undercount += lost


class NumberCounts:
    """The same of whole numbers.

    Args:
        most: Numbers kept at most.

    Attributes:
        numbers: Different ones, increasing.
        counts: How often each occurs.
        undercount: By what a count may be too small; 0 where all are exact.
    """

    def __init__(self, most: int = MOST_WORDS) -> None:
        self.most = most
        self.numbers: Ints = np.empty(0, np.int64)
        self.counts: Ints = np.empty(0, np.int64)
        self.undercount = 0

    def add(self, numbers: Ints, counts: Ints) -> None:
        """Adds different numbers, and how often each occurs."""
        both = np.concatenate([self.numbers, numbers])
        added = np.concatenate([self.counts, counts])
        self.numbers, places = np.unique(both, return_inverse=True)
        self.counts = np.zeros(len(self.numbers), np.int64)
        np.add.at(self.counts, places, added)
        if len(self.numbers) > self.most:
            kept, lost = _outliving(self.counts, self.most)
            self.numbers, self.counts = self.numbers[kept], self.counts[kept] - lost
            self.undercount += lost

    def merge(self, other: NumberCounts) -> None:
        """Adds what `other` has counted."""
        self.undercount += other.undercount
        self.add(other.numbers, other.counts)

    def of(self, number: int) -> int:
        """How often `number` was counted; 0 where it is not kept."""
        place = int(np.searchsorted(self.numbers, number))
        there = place < len(self.numbers) and self.numbers[place] == number
        return int(self.counts[place]) if there else 0


def most_frequent(counts: pd.Series[Any], at_least: float, most: int) -> pd.Series[Any]:
    """The `most` largest of the counts that are `at_least` so large, the largest first.

    Args:
        counts: By word; the words in order, and so are those of equal counts in what comes out.
        at_least: Smaller counts are left out.
        most: How many are kept.
    """
    large = counts[counts >= at_least]
    return large.sort_values(ascending=False, kind="stable")[:most]


def _outliving(counts: Ints, most: int) -> tuple[NDArray[np.bool_], int]:
    """Which counts, `most` at most, stay above 0 when all get smaller by one number, and that."""
    place = len(counts) - most - 1
    lost = int(np.partition(counts, place)[place])
    return counts > lost, lost
