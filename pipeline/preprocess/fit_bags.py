"""Fits the bag of words of a text or a list on the training split."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pandas as pd

from pipeline.core.bags import tokens
from pipeline.core.errors import DataError
from pipeline.core.features import BagFeature
from pipeline.core.words import hashed
from pipeline.preprocess.config import ListConfig, TextConfig


def fit_bag(name: str, words: pd.Series[Any], how: TextConfig | ListConfig) -> BagFeature:
    """The vocabulary, and for tf_idf the weight of each column.

    Args:
        name: The column.
        words: The training rows' texts, '' where missing.
        how: What the column is.

    Raises:
        DataError: No word occurs often enough to be known, and none is hashed.
    """
    separator = how.separator if isinstance(how, ListConfig) else None
    in_rows = [set(tokens(text, separator)) for text in words.tolist()]
    rows_with = Counter(token for row in in_rows for token in row)
    ordered = sorted(rows_with.items(), key=lambda item: (-item[1], item[0]))
    known = [token for token, count in ordered if count >= how.min_count][: how.max_size]
    if not known and not how.hash_buckets:
        raise DataError(
            f"no word of column '{name}' occurs in {how.min_count} training rows",
            expected="words that repeat",
            remedy=f"lower data.columns.{name}.min_count, set hash_buckets, or leave it out",
        )
    counts = [rows_with[token] for token in known]
    if how.hash_buckets:
        counts += _bucket_counts(in_rows, set(known), how.hash_buckets)
    idf = [math.log((1 + len(words)) / (1 + count)) + 1 for count in counts]
    return BagFeature(
        name=name,
        column=name,
        separator=separator,
        vocabulary=tuple(token.decode() for token in known),
        hash_buckets=how.hash_buckets,
        weighting=how.weighting,
        idf=tuple(idf) if how.weighting == "tf_idf" else (),
    )


def _bucket_counts(in_rows: list[set[bytes]], known: set[bytes], buckets: int) -> list[int]:
    """Training rows with an unknown word in each bucket."""
    rows_with = Counter(
        bucket for row in in_rows for bucket in {hashed(token, buckets) for token in row - known}
    )
    return [rows_with[bucket] for bucket in range(buckets)]
