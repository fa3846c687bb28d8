"""The mergeable summary of a column of texts or lists."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.core.bags import tokens
from pipeline.preprocess.config import ListConfig, TextConfig
from pipeline.preprocess.row_hash import hash_words
from pipeline.preprocess.summary_counts import NumberCounts, WordCounts

_MOST_TEXTS = 1 << 10
_NAMED_TEXTS = 1 << 4
_BLOCK_ROWS = 10_000


class Bag:
    """In how many rows each word occurs, as `WordCounts` counts them.

    Args:
        name: The column.
        how: What the column is.

    Attributes:
        rows: Rows seen.
        separator: What stands between the words of a list; None for a text.
    """

    dtype = pd.StringDtype(na_value=np.nan)

    def __init__(self, name: str, how: TextConfig | ListConfig) -> None:
        self.name = name
        self.rows = 0
        self.separator = how.separator if isinstance(how, ListConfig) else None
        self._words = WordCounts()
        self._texts = Commonest()

    def add(self, values: pd.Series[Any]) -> None:
        """Adds texts; '' is missing."""
        self.rows += len(values)
        self._texts.add(values)
        # In blocks, because the texts of a whole table would stand twice in memory.
        for start in range(0, len(values), _BLOCK_ROWS):
            block = values.iloc[start : start + _BLOCK_ROWS].tolist()
            in_rows = (set(tokens(text, self.separator)) for text in block)
            rows_with = Counter(chain.from_iterable(in_rows))
            words = pa.array(rows_with.keys(), pa.large_binary()).cast(pa.large_string())
            self._words.add(words, pa.array(rows_with.values(), pa.int64()))

    def merge(self, other: Bag) -> None:
        """Adds what `other` has seen of the same column."""
        self.rows += other.rows
        self._words.merge(other._words)
        self._texts.merge(other._texts)

    @property
    def rows_with(self) -> pd.Series[Any]:
        """In how many rows each word occurs; the words in order."""
        return self._words.counts

    @property
    def commonest(self) -> tuple[str, float]:
        """The text that more than half of the rows have, and their share; else any, and its."""
        return self._texts.commonest


class Commonest:
    """The text that more than half of the rows have; all are known by their hashes.

    Of more than 1,024 different texts its count may be too small, by a thousandth of the rows of
    the others.

    Attributes:
        rows: Rows seen.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._counts = NumberCounts(_MOST_TEXTS)
        self._named: dict[int, str] = {}

    def add(self, values: pd.Series[Any]) -> None:
        """Adds texts."""
        if not len(values):
            return
        self.rows += len(values)
        hashes, first, counts = np.unique(
            hash_words(values).view(np.int64), return_index=True, return_counts=True
        )
        self._counts.add(hashes, counts)
        most = int(counts.argmax())
        self._name({int(hashes[most]): str(values.iloc[first[most]])})

    def merge(self, other: Commonest) -> None:
        """Adds what `other` has seen."""
        self.rows += other.rows
        self._counts.merge(other._counts)
        self._name(other._named)

    @property
    def commonest(self) -> tuple[str, float]:
        """A text and its share of the rows."""
        hashed = max(self._named, key=self._counts.of, default=0)
        return self._named.get(hashed, ""), self._counts.of(hashed) / max(self.rows, 1)

    def _name(self, texts: dict[int, str]) -> None:
        """Keeps what the most frequent texts are: one of most rows is that of some batch."""
        known = self._named | texts
        frequent = sorted(known, key=self._counts.of, reverse=True)[:_NAMED_TEXTS]
        self._named = {hashed: known[hashed] for hashed in frequent}
