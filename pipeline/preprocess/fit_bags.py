"""Fits the bag of words of a text or a list on the training split."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.bags import tokens
from pipeline.core.errors import DataError
from pipeline.core.features import BagFeature
from pipeline.core.words import hashed
from pipeline.preprocess.config import ListConfig, TextConfig
from pipeline.preprocess.summary_bags import Bag
from pipeline.preprocess.summary_counts import most_frequent
from pipeline.preprocess.training_rows import Rows


def fit_bag(train: Rows, name: str, how: TextConfig | ListConfig) -> BagFeature:
    """The vocabulary, and for tf_idf the weight of each column.

    Args:
        train: The training rows.
        name: The column.
        how: What the column is.

    Raises:
        DataError: No word occurs often enough to be known, and none is hashed.
    """
    seen: Bag = train[name]
    known = most_frequent(seen.rows_with, how.min_count, how.max_size)
    if known.empty and not how.hash_buckets:
        raise DataError(
            f"no word of column '{name}' occurs in {how.min_count} training rows",
            expected="words that repeat",
            remedy=f"lower data.columns.{name}.min_count, set hash_buckets, or leave it out",
        )
    vocabulary = tuple(known.index.tolist())
    counts: list[int] = known.tolist()
    if how.weighting == "tf_idf" and how.hash_buckets:
        texts = (block[name] for block in train.blocks([name]))
        counts += _rows_by_bucket(texts, seen.separator, vocabulary, how.hash_buckets).tolist()
    idf = [math.log((1 + seen.rows) / (1 + count)) + 1 for count in counts]
    return BagFeature(
        name=name,
        column=name,
        separator=seen.separator,
        vocabulary=vocabulary,
        hash_buckets=how.hash_buckets,
        weighting=how.weighting,
        idf=tuple(idf) if how.weighting == "tf_idf" else (),
    )


def _rows_by_bucket(
    texts: Iterable[pd.Series[Any]], separator: str | None, vocabulary: Iterable[str], buckets: int
) -> NDArray[np.int64]:
    """Rows with an unknown word in each bucket; another look at the texts, word by word.

    Which words are unknown depends on all rows, and words that share a bucket often share a row.
    """
    known = {word.encode() for word in vocabulary}
    rows_with = np.zeros(buckets, np.int64)
    for block in texts:
        for text in block.tolist():
            unknown = set(tokens(text, separator)) - known
            rows_with[list({hashed(token, buckets) for token in unknown})] += 1
    return rows_with
