"""The schema vocabulary: fitted features, as `preprocess` writes and the served graph applies them.

A `FeatureSet` turns raw columns into two arrays, the only input a trained core sees:

- `dense`, float32 `[rows, len(dense_names)]`: scaled numbers, indicators, cyclic parts;
- `indices`, int32 `[rows, len(index_columns)]`: one small whole number per categorical thing.

`core.encoding` computes them in pandas and NumPy, `core.encoder` in the TensorFlow graph; both
read the constants fitted here and give the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from pipeline.core.feature_kinds import (
    DATE_PART_PERIODS,
    DENSE_LIMIT,
    BagFeature,
    BagWeighting,
    BooleanFeature,
    CategoricalFeature,
    CategoryEncoding,
    CrossFeature,
    DatePart,
    DatetimeFeature,
    Feature,
    HolidayFeature,
    NumericFeature,
)
from pipeline.core.feature_kinds_geo import GeoCellFeature, GeoDistance, GeoFeature
from pipeline.core.feature_kinds_label import TargetFeature
from pipeline.core.records import Split
from pipeline.core.schema import config

__all__ = [
    "DATE_PART_PERIODS",
    "DENSE_LIMIT",
    "BagFeature",
    "BagWeighting",
    "BooleanFeature",
    "CategoricalFeature",
    "CategoryEncoding",
    "Column",
    "CrossFeature",
    "DatePart",
    "DatetimeFeature",
    "Feature",
    "FeatureSet",
    "GeoCellFeature",
    "GeoDistance",
    "GeoFeature",
    "HolidayFeature",
    "IndexColumn",
    "Label",
    "NumericFeature",
    "RowWeight",
    "TargetFeature",
    "Task",
    "dense_names",
    "index_columns",
]

Dtype = Literal["float64", "string", "bool"]
Task = Literal["binary", "multiclass", "regression"]

THRESHOLD_CLASSES = ("false", "true")
"""What the two sides of a label's threshold are called where the config gives no names."""
TRUE_WORDS = ("true", "t", "yes", "y", "1", "1.0")
"""Words that mean true where a column does not name its own."""
FALSE_WORDS = ("false", "f", "no", "n", "0", "0.0")
"""Words that mean false where a column does not name its own."""


@config
class Column:
    """A raw column as the served signature takes it."""

    name: str
    """Name in the table and in the signature."""
    dtype: Dtype
    """float64: missing is NaN (infinities count as missing); string: missing is ''; bool: never.

    Dates are strings in ISO 8601, see `DatetimeFeature`. Whole-number codes are strings without
    a decimal point.
    """
    format: str | None = None
    """strptime format of odd date text in files; served rows carry ISO 8601 all the same."""
    true_values: tuple[str, ...] = ()
    """Words in files that mean 1, in any case; empty: TRUE_WORDS for bool, none for float64."""
    false_values: tuple[str, ...] = ()
    """Words in files that mean 0, in any case; empty: FALSE_WORDS for bool, none for float64."""
    separator: str | None = None
    """What joins the entries of a list in Parquet or JSONL files; None: lists are refused."""


@config
class Label:
    """What is predicted."""

    column: str
    """Raw column it comes from."""
    task: Task
    """Kind of prediction."""
    classes: tuple[str, ...] = ()
    """Class names by index; for binary: negative, positive; empty for regression."""
    mean: float = 0.0
    """Mean over the training split (regression): the core learns (label - mean) / scale."""
    scale: float = 1.0
    """Standard deviation over the training split (regression)."""


@config
class IndexColumn:
    """One column of `indices`."""

    name: str
    """Feature name; for a datetime part `feature.part`."""
    cardinality: int
    """Indices run from 0 to cardinality - 1."""
    encoding: CategoryEncoding
    """How models take it."""
    dimension: int
    """Embedding width."""
    crossed: bool
    """Whether it is a cross: wide models give it a weight of its own, deep ones leave it out."""


@config
class RowWeight:
    """How much a row counts."""

    column: str
    """Column of the processed tables, never below 0 nor missing."""
    mean: float = Field(gt=0)
    """Mean over the training split: the loss takes weight / mean, so that its size stays."""


@config
class FeatureSet:
    """Everything fitted on the training split: the content of features.json."""

    columns: tuple[Column, ...]
    """Raw columns the served signature takes, in order."""
    label: Label
    """What is predicted."""
    features: tuple[Feature, ...]
    """In order; a cross stands after what it crosses."""
    additive: tuple[str, ...] = ()
    """Raw columns that models add to the rest by themselves, without products with others."""
    kept: tuple[str, ...] = ()
    """Columns of the processed tables that are no features: ids, times, slices."""
    rows: dict[Split, int]
    """Rows of each split."""
    class_counts: dict[str, int] = Field(default_factory=dict)
    """Training rows of each class."""
    weight: RowWeight | None = None
    """How much a row counts in training; None where all count alike."""
    group: str | None = None
    """Column of the processed tables; rows with one value stand in one split."""

    @property
    def dense_names(self) -> tuple[str, ...]:
        """Names of the dense columns in order.

        feature, `feature.missing`, `feature.part.sin`, `feature=word`, `feature#bucket`.
        """
        return tuple(name for feature in self.features for name in dense_names(feature))

    @property
    def index_columns(self) -> tuple[IndexColumn, ...]:
        """The index columns in order."""
        return index_columns(self.features)

    @property
    def additive_names(self) -> frozenset[str]:
        """Names of the dense and index columns that the `additive` raw columns became."""
        own = [one for one in self.features if getattr(one, "column", None) in self.additive]
        dense = [name for feature in own for name in dense_names(feature)]
        return frozenset([*dense, *(column.name for column in index_columns(own))])


def index_columns(features: Sequence[Feature]) -> tuple[IndexColumn, ...]:
    """The index columns of `features` in order; a cross stands after what it crosses."""
    columns: list[IndexColumn] = []
    for feature in features:
        columns += _index_columns(feature, {column.name: column for column in columns})
    return tuple(columns)


def dense_names(feature: Feature) -> list[str]:
    """Names of the dense columns of one feature, in order."""
    match feature:
        case HolidayFeature():
            return [feature.name]
        case GeoFeature() | TargetFeature():
            return feature.dense_names
        case NumericFeature(boundaries=[]) | BooleanFeature():
            missing = [f"{feature.name}.missing"] if feature.indicator else []
            return [feature.name, *missing]
        case DatetimeFeature(cyclic=True):
            waves = ("sin", "cos")
            return [f"{feature.name}.{part}.{wave}" for part in feature.parts for wave in waves]
        case BagFeature():
            buckets = [f"{feature.name}#{bucket}" for bucket in range(feature.hash_buckets)]
            return [*(f"{feature.name}={word}" for word in feature.vocabulary), *buckets]
    return []


def _index_columns(feature: Feature, known: dict[str, IndexColumn]) -> list[IndexColumn]:
    match feature:
        case NumericFeature(boundaries=[_, *_]):
            sizes = {feature.name: len(feature.boundaries) + 2}
        case CategoricalFeature():
            sizes = {feature.name: 1 + len(feature.vocabulary) + feature.oov_buckets}
        case DatetimeFeature(cyclic=False):
            sizes = {f"{feature.name}.{p}": 1 + DATE_PART_PERIODS[p][1] for p in feature.parts}
        case GeoCellFeature():
            sizes = {feature.name: len(feature.cells) + 2}
        case CrossFeature():
            product = 1
            for name in feature.of:
                product *= known[name].cardinality
            sizes = {feature.name: min(product, feature.buckets)}
        case _:
            return []
    return [
        IndexColumn(
            name=name,
            cardinality=size,
            encoding=feature.encoding,
            dimension=feature.dimension,
            crossed=isinstance(feature, CrossFeature),
        )
        for name, size in sizes.items()
    ]
