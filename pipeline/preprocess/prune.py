"""Drops columns nothing can be learned from: constant ones, and those unique in every row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.preprocess.check_breaches import shortened
from pipeline.preprocess.config import (
    CategoricalConfig,
    ColumnConfig,
    CrossConfig,
    LatitudeConfig,
    LongitudeConfig,
    NumericConfig,
    PreprocessConfig,
    TargetConfig,
    is_feature,
)
from pipeline.preprocess.on_disk import Rows

_BLOCK_ROWS = 100_000
_DENSE_ENOUGH = 0.5
"""Distinct whole numbers that fill at least this share of their range count the rows."""


def useless_columns(
    train: Rows, columns: Mapping[str, ColumnConfig], rules: PreprocessConfig
) -> Mapping[str, str]:
    """Feature columns to drop, each with the reason for people.

    Args:
        train: Training rows in served dtypes.
        columns: Declared columns. Those that are no features stay, and so do places: one number
            of a pair may well be the same in all rows.
        rules: What counts as constant and as unique.
    """
    reasons = {
        name: _reason(train[name], how, rules)
        for name, how in columns.items()
        if is_feature(how) and not isinstance(how, LatitudeConfig | LongitudeConfig)
    }
    return {name: reason for name, reason in reasons.items() if reason}


def crosses_left(
    crosses: Mapping[str, CrossConfig], dropped: Mapping[str, str]
) -> tuple[Mapping[str, CrossConfig], Mapping[str, str]]:
    """The crosses that cross no dropped column, and those dropped with the reason."""
    left, gone = {}, {}
    for name, cross in crosses.items():
        lost = [part for part in cross.of if _column(part, dropped)]
        if lost:
            gone[name] = f"it crosses {', '.join(lost)}"
        else:
            left[name] = cross
    return left, gone


def _column(part: str, dropped: Mapping[str, str]) -> bool:
    """Whether `part` (COLUMN, COLUMN.bucket or DATE.PART) belongs to a dropped column."""
    return part in dropped or part.rpartition(".")[0] in dropped


def _reason(values: pd.Series[Any], how: ColumnConfig, rules: PreprocessConfig) -> str:
    for reason in _reasons(values, how, rules):
        return reason
    return ""


def _reasons(values: pd.Series[Any], how: ColumnConfig, rules: PreprocessConfig) -> Iterator[str]:
    if values.dtype.kind in "fb":
        value, share = commonest_number(values.to_numpy(dtype=np.float64))
        if share >= rules.constant_fraction:
            yield f"{share:.2%} of the training rows have {value:g}"
        if isinstance(how, NumericConfig) and _counts_rows(values, rules):
            yield "it numbers the rows"
        return
    word, share = commonest_word(values)
    if share >= rules.constant_fraction:
        yield f"{share:.2%} of the training rows have {shortened(repr(word))}"
    if isinstance(how, CategoricalConfig | TargetConfig):
        known = values[values != ""].value_counts()
        if len(known) > 1 and len(known) / known.sum() >= rules.unique_fraction:
            yield f"{len(known):,} different words in {known.sum():,} training rows"
        hashed = isinstance(how, CategoricalConfig) and (how.hash_buckets or not how.max_size)
        if not hashed and not (known >= how.min_count).any():
            yield f"no word occurs in {how.min_count} training rows (min_count)"


def commonest_number(values: NDArray[np.float64]) -> tuple[float, float]:
    """The value that more than half of the rows have, and their share; else any, and its share.

    A value of a majority is the median, which is found without sorting. NaN equals NaN.
    """
    middle = np.partition(values, len(values) // 2)[len(values) // 2]
    same = np.isnan(values) if np.isnan(middle) else values == middle
    return float(middle), float(same.mean())


def commonest_word(words: pd.Series[Any]) -> tuple[str, float]:
    """The word that more than half of the rows have, and their share; else any, and its share.

    By the median of their hashes, because counting texts that are all different costs much.
    """
    starts = range(0, len(words), _BLOCK_ROWS)
    blocks = [words.iloc[start : start + _BLOCK_ROWS].to_numpy(dtype=object) for start in starts]
    hashes = np.concatenate([pd.util.hash_array(block) for block in blocks])
    same = hashes == np.partition(hashes, len(hashes) // 2)[len(hashes) // 2]
    return str(words.iloc[int(np.argmax(same))]), float(same.mean())


def _counts_rows(values: pd.Series[Any], rules: PreprocessConfig) -> bool:
    numbers = values.to_numpy(dtype=np.float64)
    numbers = numbers[~np.isnan(numbers)]
    if len(numbers) < 2 or (numbers[:1000] % 1 != 0).any() or (numbers % 1 != 0).any():
        return False
    distinct = len(np.unique(numbers))
    filled = distinct / (numbers.max() - numbers.min() + 1)
    return distinct / len(numbers) >= rules.unique_fraction and filled >= _DENSE_ENOUGH
