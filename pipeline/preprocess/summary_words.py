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

MOST_WORDS = 1 << 20
"""Up to so many different words of a column all of them are counted."""
_PENDING = 1 << 17
_SAMPLE = 64
_SHOWN = 5
_BLOCK_ROWS = 10_000


class Words:
    """Each different word of a column and how often it occurs.

    Exact up to `MOST_WORDS`. Beyond that the rarest are forgotten, and a count may be too small by
    `undercount` at most, which is below `rows / MOST_WORDS` (Misra and Gries, 1982; merged as in
    Agarwal and others, "Mergeable Summaries", 2012).

    Args:
        name: The column.

    Attributes:
        rows: Rows seen.
        missing: Rows without a word.
        undercount: By what a count may be too small; 0 where all are exact.
    """

    dtype = pd.StringDtype(na_value=np.nan)

    def __init__(self, name: str, most: int = MOST_WORDS) -> None:
        self.name = name
        self.most = most
        self.rows = 0
        self.missing = 0
        self.undercount = 0
        self._distinct = Distinct()
        self._parts: list[pa.Table] = []
        self._united = 0

    def add(self, values: pd.Series[Any]) -> None:
        """Adds words; '' is missing."""
        self.rows += len(values)
        array = pa.array(values)
        counted = pc.value_counts(array.cast(pa.large_string()))
        words, counts = counted.field("values"), counted.field("counts")
        filled = pc.not_equal(words, "")
        words, present = words.filter(filled), counts.filter(filled)
        self.missing += len(values) - (pc.sum(present).as_py() or 0)
        self._distinct.add(hash_words(pd.Series(words, dtype="str")))
        self._take(pa.table({"word": words, "count": present}))

    def merge(self, other: Words) -> None:
        """Adds what `other` has seen of the same column."""
        self.rows += other.rows
        self.missing += other.missing
        self.undercount += other.undercount
        self._distinct.merge(other._distinct)
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

    @property
    def present(self) -> int:
        """Rows with a word."""
        return self.rows - self.missing

    @property
    def distinct(self) -> int:
        """Different words; nearly, where not all are counted."""
        self._unite()
        if self.undercount:
            return self._distinct.count
        return self._parts[0].num_rows if self._parts else 0

    @property
    def commonest(self) -> tuple[str, float]:
        """The commonest word, '' for missing, and its share of the rows."""
        counts = self.counts
        most = int(counts.max()) if len(counts) else 0
        if self.missing >= most:
            return "", self.missing / max(self.rows, 1)
        return str(counts.idxmax()), most / self.rows

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
        lost = int(np.partition(counts, len(counts) - self.most - 1)[len(counts) - self.most - 1])
        kept = pa.array(counts > lost)
        words = self._parts[0]["word"].filter(kept)
        left = pa.array(counts[counts > lost] - lost)
        self._parts = [pa.table({"word": words, "count": left})]
        self.undercount += lost


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
