"""Fits the features of one column, kind by kind."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.features import (
    DATE_PART_PERIODS,
    DENSE_LIMIT,
    BooleanFeature,
    CategoricalFeature,
    DatetimeFeature,
    Feature,
    HolidayFeature,
    NumericFeature,
)
from pipeline.preprocess.config import (
    BooleanConfig,
    CategoricalConfig,
    ColumnConfig,
    DatetimeConfig,
    Indicator,
    NumericConfig,
)
from pipeline.preprocess.summary_cells import Cells, Moments
from pipeline.preprocess.summary_counts import most_frequent
from pipeline.preprocess.summary_numbers import Numbers
from pipeline.preprocess.summary_words import Dates, Truths, Words

LARGEST_NUMBER = 1e150
"""Larger numbers overflow when squared for the standard deviation."""
LARGEST_DIMENSION = 32
"""Widest embedding that is chosen without being asked for."""


def embedding_dimension(cardinality: int) -> int:
    """The embedding width for an index that nobody chose one for.

    `6 * cardinality ** (1/4)`, rounded (Wang et al., "Deep & Cross Network for Ad Click
    Predictions", 2017, section 4.1), at most the cardinality itself and `LARGEST_DIMENSION`.
    """
    wanted = round(6 * math.pow(cardinality, 0.25))
    return min(wanted, cardinality, LARGEST_DIMENSION)


def fit_column(name: str, seen: Any, how: ColumnConfig) -> Iterator[Feature]:
    """Fits the features of one raw column: one, or two for a number that is also cut to buckets.

    Args:
        name: The column.
        seen: The summary of its training rows.
        how: What the column is.

    Raises:
        DataError: No row has a value, or the numbers are too large to work with.
    """
    match how:
        case NumericConfig():
            yield from _fit_number(name, seen, how)
        case CategoricalConfig():
            yield _fit_words(name, seen, how)
        case BooleanConfig():
            yield _fit_truth(name, seen, how)
        case DatetimeConfig():
            yield _fit_date(name, seen, how)
            if how.holidays:
                yield HolidayFeature(name=f"{name}.holiday", column=name, dates=how.holidays)


def _fit_number(name: str, seen: Numbers, how: NumericConfig) -> Iterator[NumericFeature]:
    least, most = how.range or (None, None)
    _refuse_empty(name, seen.present, seen.rows)
    refuse_huge(name, Moments.of(seen.cells.numbers))
    low, high = seen.bounds()
    if how.dense:
        moments = seen.scaled_moments()
        center, scale = center_and_scale(name, moments, how.scaling)
        yield NumericFeature(
            name=name,
            column=name,
            least=least,
            most=most,
            low=low,
            high=high,
            log=how.log,
            center=center,
            scale=scale,
            impute=_imputed(seen, moments, how.impute),
            indicator=_indicator(how.indicator, missing=seen.present < seen.rows),
        )
    if how.buckets:
        boundaries = quantile_boundaries(seen.cells, how.buckets, low, high)
        yield NumericFeature(
            name=f"{name}.bucket",
            column=name,
            least=least,
            most=most,
            boundaries=boundaries,
            encoding=how.encoding,
            dimension=how.dimension or embedding_dimension(len(boundaries) + 2),
        )


def _refuse_empty(name: str, present: int, rows: int) -> None:
    if present == 0:
        raise DataError(
            f"column '{name}' has no value in any of {rows} training rows",
            expected="at least one value to fit on",
            remedy=f"remove '{name}' from data.columns, or repair the source",
        )


def refuse_huge(name: str, moments: Moments) -> None:
    """Raises a DataError where a number of column `name` would overflow the statistics."""
    largest = max(-moments.low, moments.high)
    if largest > LARGEST_NUMBER:
        raise DataError(
            f"column '{name}' holds a number as large as {largest:g}",
            expected=f"at most {LARGEST_NUMBER:g}, or the statistics overflow",
            remedy=f"set data.columns.{name}.range, so that such numbers count as mistakes",
        )


def center_and_scale(
    name: str, moments: Moments, scaling: Literal["standard", "min_max", "none"]
) -> tuple[float, float]:
    """What is subtracted and divided by, so that numbers come out as `scaling` says.

    standard: mean and standard deviation (of the population, ddof 0); min_max: minimum and
    range; none: 0 and 1. The scale is 1 where the numbers are equal or differ by rounding only.

    Args:
        name: The column, for messages.
        moments: Of the finite numbers, at least one.
        scaling: Which of the three.

    Raises:
        DataError: Numbers beyond `DENSE_LIMIT` are not to be scaled.
    """
    low, high = moments.low, moments.high
    if scaling == "none":
        _refuse_unscaled(name, max(-low, high))
        return 0.0, 1.0
    if scaling == "min_max":
        return low, _usable_scale(high - low, max(-low, high))
    if low == high:
        # The mean of equal numbers is rounded, and would leave a tiny difference everywhere.
        return low, 1.0
    return moments.mean, _usable_scale(moments.deviation, max(-low, high))


def _refuse_unscaled(name: str, largest: float) -> None:
    if largest > DENSE_LIMIT:
        raise DataError(
            f"column '{name}' holds {largest:g} and is not scaled",
            expected=f"numbers within plus and minus {DENSE_LIMIT:g} where scaling is none",
            remedy=f"set data.columns.{name}.scaling to standard or min_max",
        )


def _usable_scale(scale: float, largest: float) -> float:
    """1 where the numbers differ by rounding errors only, which must not be blown up."""
    rounding = 10 * np.finfo(np.float64).eps * largest
    return scale if scale > rounding else 1.0


def _imputed(seen: Numbers, moments: Moments, how: Literal["median", "mean", "zero"]) -> float:
    if how == "zero":
        return 0.0
    return seen.scaled_median() if how == "median" else moments.mean


def _indicator(wanted: Indicator, *, missing: bool) -> bool:
    return missing if wanted == "auto" else wanted


def quantile_boundaries(
    cells: Cells, buckets: int, low: float | None = None, high: float | None = None
) -> tuple[float, ...]:
    """Boundaries that cut numbers into at most `buckets` buckets of about equal size.

    The quantiles at 1/buckets, 2/buckets, ... (inverse of the empirical distribution, type 1 of
    Hyndman and Fan, 1996), so that each boundary is a number that occurs. Equal ones are merged;
    one at the smallest number, which would leave a bucket empty, moves to the next larger.

    Args:
        cells: Of the finite numbers, at least one.
        buckets: How many are wanted, at least 2.
        low: What smaller numbers are clipped to.
        high: What larger numbers are clipped to.

    Returns:
        Strictly increasing, at least one.
    """
    clip = low is not None or high is not None
    known = np.unique(np.clip(cells.numbers, low, high)) if clip else cells.numbers
    cuts = cells.quantiles(np.arange(1, buckets) / buckets)
    cuts = np.unique(np.clip(cuts, low, high) if clip else cuts)
    if cuts[0] == known[0] and len(known) > 1:
        cuts = np.union1d(cuts[1:], known[1:2])
    return tuple(cuts.tolist())


def _fit_words(name: str, seen: Words, how: CategoricalConfig) -> CategoricalFeature:
    counts = seen.counts
    _refuse_empty(name, len(counts), seen.rows)
    at_least = max(how.min_count, how.min_fraction * seen.present)
    vocabulary = tuple(most_frequent(counts, at_least, how.max_size).index.tolist())
    oov_buckets = max(how.hash_buckets, 1)
    return CategoricalFeature(
        name=name,
        column=name,
        vocabulary=vocabulary,
        oov_buckets=oov_buckets,
        encoding=how.encoding,
        dimension=how.dimension or embedding_dimension(1 + len(vocabulary) + oov_buckets),
    )


def _fit_truth(name: str, seen: Truths, how: BooleanConfig) -> BooleanFeature:
    _refuse_empty(name, seen.rows - seen.missing, seen.rows)
    return BooleanFeature(
        name=name, column=name, indicator=_indicator(how.indicator, missing=seen.missing > 0)
    )


def _fit_date(name: str, seen: Dates, how: DatetimeConfig) -> DatetimeFeature:
    _refuse_empty(name, seen.rows - seen.missing, seen.rows)
    if not seen.dated:
        raise DataError(
            f"column '{name}' holds no date in any training row: {', '.join(seen.shown)!r}",
            expected="ISO 8601, such as 2013-12-31 or 2013-12-31T23:59",
            remedy=f"set data.columns.{name}.format to the strptime format of its text",
        )
    longest = max(DATE_PART_PERIODS[part][1] for part in how.parts)
    return DatetimeFeature(
        name=name,
        column=name,
        parts=how.parts,
        cyclic=how.cyclic,
        encoding=how.encoding,
        dimension=how.dimension or embedding_dimension(1 + longest),
    )
