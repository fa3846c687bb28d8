"""Mergeable summaries of words, truth values and dates."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.dates import part_indices
from pipeline.preprocess.row_hash import hash_words
from pipeline.preprocess.summary_cells import Distinct
from pipeline.preprocess.summary_counts import MOST_WORDS, WordCounts

_SAMPLE = 64
_SHOWN = 5
_BLOCK_ROWS = 10_000


class Words:
    """Each different word of a column and how often it occurs, as `WordCounts` counts them.

    Args:
        name: The column.
        most: Words counted at most.

    Attributes:
        rows: Rows seen.
        missing: Rows without a word.
    """

    dtype = pd.StringDtype(na_value=np.nan)

    def __init__(self, name: str, most: int = MOST_WORDS) -> None:
        self.name = name
        self.rows = 0
        self.missing = 0
        self._distinct = Distinct()
        self._words = WordCounts(most)

    def add(self, values: pd.Series[Any]) -> None:
        """Adds words; '' is missing."""
        self.rows += len(values)
        counted = pc.value_counts(pa.array(values))
        words, counts = counted.field("values").cast(pa.large_string()), counted.field("counts")
        filled = pc.not_equal(words, "")
        words, present = words.filter(filled), counts.filter(filled)
        self.missing += len(values) - (pc.sum(present).as_py() or 0)
        self._distinct.add(hash_words(pd.Series(words, dtype="str")))
        self._words.add(words, present)

    def merge(self, other: Words) -> None:
        """Adds what `other` has seen of the same column."""
        self.rows += other.rows
        self.missing += other.missing
        self._distinct.merge(other._distinct)
        self._words.merge(other._words)

    @property
    def counts(self) -> pd.Series[Any]:
        """How often each word occurs; the words in order."""
        return self._words.counts

    @property
    def undercount(self) -> int:
        """By what a count may be too small; 0 where all are exact."""
        return self._words.undercount

    @property
    def present(self) -> int:
        """Rows with a word."""
        return self.rows - self.missing

    @property
    def distinct(self) -> int:
        """Different words; nearly, where not all are counted."""
        kept = len(self._words)
        return self._distinct.count if self.undercount else kept

    @property
    def commonest(self) -> tuple[str, float]:
        """The commonest word, '' for missing, and its share of the rows."""
        counts = self.counts
        most = int(counts.max()) if len(counts) else 0
        if self.missing >= most:
            return "", self.missing / max(self.rows, 1)
        return str(counts.idxmax()), most / self.rows


class Truths:
    """Truth values of a column.

    Args:
        name: The column.
        always: Whether no row of the whole table misses it, so that it is served as bool.

    Attributes:
        rows: Rows seen.
        missing: Rows without a value.
        true: Rows with a true one.
    """

    def __init__(self, name: str, *, always: bool) -> None:
        self.name = name
        self.dtype = np.dtype(np.bool_ if always else np.float64)
        self.rows = self.missing = self.true = 0

    def add(self, values: pd.Series[Any]) -> None:
        """Adds rows: 1, 0 and NaN, or bool."""
        truths = values.to_numpy(dtype=np.float64)
        self.rows += len(truths)
        self.missing += int(np.isnan(truths).sum())
        self.true += int((truths == 1).sum())

    def merge(self, other: Truths) -> None:
        """Adds what `other` has seen of the same column."""
        self.rows += other.rows
        self.missing += other.missing
        self.true += other.true

    @property
    def commonest(self) -> tuple[float, float]:
        """1, 0 or NaN, whichever is the commonest, and its share of the rows."""
        rows = {1.0: self.true, 0.0: self.rows - self.missing - self.true}
        value, most = max([*rows.items(), (float("nan"), self.missing)], key=lambda one: one[1])
        return value, most / max(self.rows, 1)


class Dates:
    """Dates of a column as text.

    Args:
        name: The column.

    Attributes:
        rows: Rows seen.
        missing: Rows without text.
        dated: Whether some text is a date.
        shown: The first different texts, for people.
    """

    dtype = pd.StringDtype(na_value=np.nan)

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows = self.missing = 0
        self.dated = False
        self.shown: list[str] = []
        self._common: Counter[str] = Counter()

    def add(self, values: pd.Series[Any]) -> None:
        """Adds dates; '' is missing."""
        self.rows += len(values)
        filled = (values != "").to_numpy(dtype=np.bool_)
        self.missing += int((~filled).sum())
        if len(values):
            word = _likely(values)
            self._common[word] += int((values == word).sum())
        if not self.dated or len(self.shown) < _SHOWN:
            present = values[filled]
            self._show(present.iloc[:_BLOCK_ROWS].drop_duplicates().iloc[:_SHOWN].tolist())
            self.dated = self.dated or _any_date(present)

    def merge(self, other: Dates) -> None:
        """Adds what `other` has seen of the same column."""
        self.rows += other.rows
        self.missing += other.missing
        self.dated = self.dated or other.dated
        self._show(other.shown)
        self._common.update(other._common)

    @property
    def commonest(self) -> tuple[str, float]:
        """A text that most rows have, '' for missing, and its share; else any, and its share."""
        word, most = max(self._common.items(), key=lambda one: one[1], default=("", 0))
        return word, most / max(self.rows, 1)

    def _show(self, words: list[str]) -> None:
        self.shown = list(dict.fromkeys([*self.shown, *words]))[:_SHOWN]


def _likely(values: pd.Series[Any]) -> str:
    """The commonest of a few rows: what most rows have is hardly ever missed among 64."""
    step = -(-len(values) // _SAMPLE)
    return str(Counter(values.iloc[::step].tolist()).most_common(1)[0][0])


def _any_date(present: pd.Series[Any]) -> bool:
    # In blocks, of which nearly always the first one decides.
    blocks = (present.iloc[i : i + _BLOCK_ROWS] for i in range(0, len(present), _BLOCK_ROWS))
    return any(part_indices(block.tolist(), ["day"]).any() for block in blocks)
