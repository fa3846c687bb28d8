"""Fits feature statistics on the training split; what they mean stands in `core.features`.

Nothing here ever sees a validation or test row: the caller hands over the training split alone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.features import (
    Column,
    CrossFeature,
    Feature,
    FeatureSet,
    Label,
    index_columns,
)
from pipeline.core.records import Split
from pipeline.preprocess.config import (
    BooleanConfig,
    ColumnConfig,
    CrossConfig,
    DatetimeConfig,
    GroupConfig,
    LatitudeConfig,
    ListConfig,
    LongitudeConfig,
    NumericConfig,
    is_feature,
)
from pipeline.preprocess.config_together import only, require_parts
from pipeline.preprocess.fit_columns import (
    center_and_scale,
    embedding_dimension,
    refuse_huge,
)
from pipeline.preprocess.fit_with_others import fit_any, fit_weight
from pipeline.preprocess.summary import LabelSummary
from pipeline.preprocess.training_rows import Rows


def fit_features(
    train: Rows,
    *,
    columns: Mapping[str, ColumnConfig],
    crosses: Mapping[str, CrossConfig],
    label: Label,
    kept: Sequence[str],
    rows: Mapping[Split, int],
    label_seen: LabelSummary,
) -> FeatureSet:
    """Fits every feature on the training split.

    Args:
        train: The training rows.
        columns: What each raw column is; those that are no features make none.
        crosses: Combinations by name.
        label: Column, task and classes; for regression mean and scale are fitted here.
        kept: Columns of the processed tables that are no features.
        rows: Rows of each split, to be written down.
        label_seen: What is remembered of the training rows' label.

    Raises:
        DataError: A column has no value in training, or numbers too large to work with; no
            feature is left.
        ConfigError: A cross names no index column, or two features have one name.
    """
    taking = {name: how for name, how in columns.items() if is_feature(how)}
    features = [
        feature for name, how in taking.items() for feature in fit_any(train, name, how, label)
    ]
    if not features:
        raise DataError(
            "no column is left to learn from",
            expected="at least one numeric, categorical, boolean or datetime column",
            remedy="declare more columns under data.columns",
        )
    fitted = FeatureSet(
        columns=tuple(_column(train, name, how) for name, how in taking.items()),
        label=_fit_label(label_seen, label),
        features=(*features, *_fit_crosses(features, crosses)),
        additive=tuple(name for name, how in taking.items() if getattr(how, "additive", False)),
        kept=tuple(kept),
        weight=fit_weight(train, columns),
        group=only(GroupConfig, columns),
        rows=dict(rows),
        class_counts=dict(zip(label.classes, label_seen.counts.tolist(), strict=True)),
    )
    _refuse_twins(fitted)
    return fitted


def _column(train: Rows, name: str, how: ColumnConfig) -> Column:
    match how:
        case NumericConfig() | LatitudeConfig() | LongitudeConfig():
            return Column(name=name, dtype="float64")
        case BooleanConfig():
            return Column(
                name=name,
                dtype="bool" if train[name].dtype == np.bool_ else "float64",
                true_values=how.true_values,
                false_values=how.false_values,
            )
        case DatetimeConfig():
            return Column(name=name, dtype="string", format=how.format)
        case ListConfig():
            return Column(name=name, dtype="string", separator=how.separator)
    return Column(name=name, dtype="string")


def _fit_label(seen: LabelSummary, label: Label) -> Label:
    if label.task != "regression":
        return label
    refuse_huge(label.column, seen.moments)
    center, scale = center_and_scale(label.column, seen.moments, "standard")
    return Label(column=label.column, task=label.task, mean=center, scale=scale)


def _fit_crosses(
    features: Sequence[Feature], crosses: Mapping[str, CrossConfig]
) -> Iterator[CrossFeature]:
    sizes = {column.name: column.cardinality for column in index_columns(features)}
    for name, how in crosses.items():
        require_parts(name, how, sizes)  # a column may have been left out for what it holds
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
