"""Drops columns nothing can be learned from: constant ones, and those unique in every row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.preprocess.check_breaches import shortened
from pipeline.preprocess.config import (
    CategoricalConfig,
    ColumnConfig,
    CrossConfig,
    LatitudeConfig,
    LongitudeConfig,
    PreprocessConfig,
    TargetConfig,
    is_feature,
)
from pipeline.preprocess.summary_numbers import Numbers
from pipeline.preprocess.training_rows import Rows

_DENSE_ENOUGH = 0.5
"""Distinct whole numbers that fill at least this share of their range count the rows."""


def useless_columns(
    train: Rows, columns: Mapping[str, ColumnConfig], rules: PreprocessConfig
) -> Mapping[str, str]:
    """Feature columns to drop, each with the reason for people.

    Args:
        train: The training rows.
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


def _reason(seen: Any, how: ColumnConfig, rules: PreprocessConfig) -> str:
    for reason in _reasons(seen, how, rules):
        return reason
    return ""


def _reasons(seen: Any, how: ColumnConfig, rules: PreprocessConfig) -> Iterator[str]:
    value, share = seen.commonest
    if share >= rules.constant_fraction:
        shown = shortened(repr(value)) if isinstance(value, str) else f"{value:g}"
        yield f"{share:.2%} of the training rows have {shown}"
    if isinstance(seen, Numbers) and _counts_rows(seen, rules):
        yield "it numbers the rows"
    if isinstance(how, CategoricalConfig | TargetConfig):
        if seen.distinct > 1 and seen.distinct / seen.present >= rules.unique_fraction:
            yield f"{seen.distinct:,} different words in {seen.present:,} training rows"
        hashed = isinstance(how, CategoricalConfig) and (how.hash_buckets or not how.max_size)
        if not hashed and not (seen.counts >= how.min_count).any():
            yield f"no word occurs in {how.min_count} training rows (min_count)"


def _counts_rows(seen: Numbers, rules: PreprocessConfig) -> bool:
    if seen.present < 2 or not seen.whole:
        return False
    filled = seen.distinct / (seen.cells.numbers[-1] - seen.cells.numbers[0] + 1)
    return seen.distinct / seen.present >= rules.unique_fraction and filled >= _DENSE_ENOUGH
