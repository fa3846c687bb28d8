"""Fits feature statistics on the training split; what they mean stands in `core.features`.

Nothing here ever sees a validation or test row: the caller hands over the training split alone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.dates import part_indices
from pipeline.core.errors import ConfigError, DataError, nearest
from pipeline.core.features import (
    DATE_PART_PERIODS,
    DENSE_LIMIT,
    BooleanFeature,
    CategoricalFeature,
    Column,
    CrossFeature,
    DatetimeFeature,
    Feature,
    FeatureSet,
    Label,
    NumericFeature,
    index_columns,
)
from pipeline.core.records import LABEL, Split
from pipeline.preprocess.config import (
    BooleanConfig,
    CategoricalConfig,
    ColumnConfig,
    CrossConfig,
    DatetimeConfig,
    IdConfig,
    Indicator,
    NumericConfig,
)

LARGEST_NUMBER = 1e150
"""Larger numbers overflow when squared for the standard deviation."""
LARGEST_DIMENSION = 32
"""Widest embedding that is chosen without being asked for."""

Floats = NDArray[np.float64]


def fit_features(
    train: pd.DataFrame,
    *,
    columns: Mapping[str, ColumnConfig],
    crosses: Mapping[str, CrossConfig],
    label: Label,
    kept: Sequence[str],
    rows: Mapping[Split, int],
) -> FeatureSet:
    """Fits every feature on the training split.

    Args:
        train: Training rows in served dtypes (see `table.as_served`), and `records.LABEL`.
        columns: What each raw column is; `id` columns make no feature.
        crosses: Combinations by name.
        label: Column, task and classes; for regression mean and scale are fitted here.
        kept: Columns of the processed tables that are no features.
        rows: Rows of each split, to be written down.

    Raises:
        DataError: A column has no value in training, or numbers too large to work with; no
            feature is left.
        ConfigError: A cross names no index column, or two features have one name.
    """
    taking = {name: how for name, how in columns.items() if not isinstance(how, IdConfig)}
    features = [feature for name, how in taking.items() for feature in _fit(train[name], how)]
    if not features:
        raise DataError(
            "no column is left to learn from",
            expected="at least one numeric, categorical, boolean or datetime column",
            remedy="declare more columns under data.columns",
        )
    fitted = FeatureSet(
        columns=tuple(_column(train[name], how) for name, how in taking.items()),
        label=_fit_label(train[LABEL].to_numpy(), label),
        features=(*features, *_fit_crosses(features, crosses)),
        kept=tuple(kept),
        rows=dict(rows),
        class_counts=_class_counts(train[LABEL].to_numpy(), label),
    )
    _refuse_twins(fitted)
    return fitted


def embedding_dimension(cardinality: int) -> int:
    """The embedding width for an index that nobody chose one for.

    `6 * cardinality ** (1/4)`, rounded (Wang et al., "Deep & Cross Network for Ad Click
    Predictions", 2017, section 4.1), at most the cardinality itself and `LARGEST_DIMENSION`.
    """
    wanted = round(6 * math.pow(cardinality, 0.25))
    return min(wanted, cardinality, LARGEST_DIMENSION)


def _column(values: pd.Series[Any], how: ColumnConfig) -> Column:
    name = str(values.name)
    match how:
        case NumericConfig():
            return Column(name=name, dtype="float64")
        case BooleanConfig():
            return Column(
                name=name,
                dtype="bool" if values.dtype == np.bool_ else "float64",
                true_values=how.true_values,
                false_values=how.false_values,
            )
        case DatetimeConfig():
            return Column(name=name, dtype="string", format=how.format)
    return Column(name=name, dtype="string")


def _fit(values: pd.Series[Any], how: ColumnConfig) -> Iterator[Feature]:
    name = str(values.name)
    match how:
        case NumericConfig():
            yield from _fit_number(name, values.to_numpy(dtype=np.float64), how)
        case CategoricalConfig():
            yield _fit_words(name, values, how)
        case BooleanConfig():
            yield _fit_truth(name, values.to_numpy(dtype=np.float64), how)
        case DatetimeConfig():
            yield _fit_date(name, values, how)


def _fit_number(name: str, values: Floats, how: NumericConfig) -> Iterator[NumericFeature]:
    present = values[np.isfinite(values)]
    _refuse_empty(name, len(present), len(values))
    _refuse_huge(name, present)
    low, high = how.clip or (None, None)
    if how.clip:
        present = np.clip(present, low, high)
    if how.dense:
        scaled = np.sign(present) * np.log1p(np.abs(present)) if how.log else present
        center, scale = _center_and_scale(name, scaled, how.scaling)
        yield NumericFeature(
            name=name,
            column=name,
            low=low,
            high=high,
            log=how.log,
            center=center,
            scale=scale,
            impute=_imputed(scaled, how.impute),
            indicator=_indicator(how.indicator, missing=len(present) < len(values)),
        )
    if how.buckets:
        boundaries = quantile_boundaries(present, how.buckets)
        yield NumericFeature(
            name=f"{name}.bucket",
            column=name,
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


def _refuse_huge(name: str, present: Floats) -> None:
    largest = float(np.abs(present).max())
    if largest > LARGEST_NUMBER:
        raise DataError(
            f"column '{name}' holds a number as large as {largest:g}",
            expected=f"at most {LARGEST_NUMBER:g}, or the statistics overflow",
            remedy=f"set data.columns.{name}.range, so that such numbers count as mistakes",
        )


def _center_and_scale(
    name: str, numbers: Floats, scaling: Literal["standard", "min_max", "none"]
) -> tuple[float, float]:
    low, high = float(numbers.min()), float(numbers.max())
    if scaling == "none":
        _refuse_unscaled(name, max(-low, high))
        return 0.0, 1.0
    if scaling == "min_max":
        return low, _usable_scale(high - low, max(-low, high))
    if low == high:
        # The mean of equal numbers is rounded, and would leave a tiny difference everywhere.
        return low, 1.0
    return float(numbers.mean()), _usable_scale(float(numbers.std()), max(-low, high))


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


def _imputed(numbers: Floats, how: Literal["median", "mean", "zero"]) -> float:
    if how == "zero":
        return 0.0
    return float(np.median(numbers) if how == "median" else numbers.mean())


def _indicator(wanted: Indicator, *, missing: bool) -> bool:
    return missing if wanted == "auto" else wanted


def quantile_boundaries(numbers: Floats, buckets: int) -> tuple[float, ...]:
    """Boundaries that cut `numbers` into at most `buckets` buckets of about equal size.

    The quantiles at 1/buckets, 2/buckets, ... (inverse of the empirical distribution, type 1 of
    Hyndman and Fan, 1996), so that each boundary is a number that occurs. Equal ones are merged;
    one at the smallest number, which would leave a bucket empty, moves to the next larger.

    Args:
        numbers: Finite numbers, at least one.
        buckets: How many are wanted, at least 2.

    Returns:
        Strictly increasing, at least one.
    """
    quantiles = np.arange(1, buckets) / buckets
    cuts = np.unique(np.quantile(numbers, quantiles, method="inverted_cdf"))
    smallest = numbers.min()
    larger = numbers[numbers > smallest]
    if cuts[0] == smallest and len(larger):
        cuts = np.union1d(cuts[1:], larger.min())
    return tuple(cuts.tolist())


def _fit_words(name: str, words: pd.Series[Any], how: CategoricalConfig) -> CategoricalFeature:
    counts = words[words != ""].value_counts()
    _refuse_empty(name, len(counts), len(words))
    known = counts[counts >= how.min_count]
    # Sorting by word first and stably by count second leaves ties in the order of the words.
    known = known.sort_index().sort_values(ascending=False, kind="stable")[: how.max_size]
    vocabulary = tuple(known.index.tolist())
    oov_buckets = max(how.hash_buckets, 1)
    return CategoricalFeature(
        name=name,
        column=name,
        vocabulary=vocabulary,
        oov_buckets=oov_buckets,
        encoding=how.encoding,
        dimension=how.dimension or embedding_dimension(1 + len(vocabulary) + oov_buckets),
    )


def _fit_truth(name: str, values: Floats, how: BooleanConfig) -> BooleanFeature:
    missing = int(np.isnan(values).sum())
    _refuse_empty(name, len(values) - missing, len(values))
    return BooleanFeature(
        name=name, column=name, indicator=_indicator(how.indicator, missing=missing > 0)
    )


def _fit_date(name: str, words: pd.Series[Any], how: DatetimeConfig) -> DatetimeFeature:
    _, known = pd.factorize(words)
    dates = int((part_indices(known.tolist(), ["day"]) > 0).sum())
    _refuse_empty(name, dates, len(words))
    longest = max(DATE_PART_PERIODS[part][1] for part in how.parts)
    return DatetimeFeature(
        name=name,
        column=name,
        parts=how.parts,
        cyclic=how.cyclic,
        encoding=how.encoding,
        dimension=how.dimension or embedding_dimension(1 + longest),
    )


def _fit_label(values: NDArray[Any], label: Label) -> Label:
    if label.task != "regression":
        return label
    _refuse_huge(label.column, values)
    center, scale = _center_and_scale(label.column, values.astype(np.float64), "standard")
    return Label(column=label.column, task=label.task, mean=center, scale=scale)


def _class_counts(values: NDArray[Any], label: Label) -> dict[str, int]:
    counts = np.bincount(values.astype(np.int64), minlength=len(label.classes))
    return dict(zip(label.classes, counts.tolist(), strict=True)) if label.classes else {}


def _fit_crosses(
    features: Sequence[Feature], crosses: Mapping[str, CrossConfig]
) -> Iterator[CrossFeature]:
    sizes = {column.name: column.cardinality for column in index_columns(features)}
    for name, how in crosses.items():
        if unknown := [part for part in how.of if part not in sizes]:
            near = nearest(unknown[0], sizes)
            raise ConfigError(
                f"config key 'data.crosses.{name}.of' names '{unknown[0]}'",
                expected="categorical columns, COLUMN.bucket of numbers, or DATE.PART: "
                + (", ".join(list(sizes)[:40]) or "this table has none"),
                remedy=f"did you mean {' or '.join(near)}?" if near else f"remove '{name}'",
            )
        cardinality = min(math.prod(sizes[part] for part in how.of), how.buckets)
        yield CrossFeature(
            name=name,
            of=how.of,
            buckets=how.buckets,
            encoding=how.encoding,
            dimension=how.dimension or embedding_dimension(cardinality),
        )


def _refuse_twins(fitted: FeatureSet) -> None:
    names = Counter([*fitted.dense_names, *(column.name for column in fitted.index_columns)])
    name, times = names.most_common(1)[0]
    if times > 1:
        raise ConfigError(
            f"{times} features are called '{name}'",
            expected="names of their own for columns, crosses, COLUMN.bucket, COLUMN.missing and "
            "DATE.PART",
            remedy="rename a column in the source, or a cross under data.crosses",
        )
