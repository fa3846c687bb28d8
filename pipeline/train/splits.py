"""The prepared data as training sees it: features, both splits encoded, weights of the rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pipeline.core.artifacts import Artifacts
from pipeline.core.errors import DataError
from pipeline.core.features import FeatureSet, Label
from pipeline.train.examples import (
    Examples,
    class_weights,
    examples,
    multiplied,
    require_classes,
)


def read_features(artifacts: Artifacts) -> FeatureSet:
    """The fitted features.

    Raises:
        DataError: There are none to train on.
    """
    features = artifacts.features.read()
    if not features.dense_names and not features.index_columns:
        raise DataError(
            "features.json names no feature",
            expected="at least one column that is a feature",
            remedy="declare columns under data.columns that are not constant",
        )
    return features


def encoded_splits(artifacts: Artifacts, features: FeatureSet) -> tuple[Examples, Examples]:
    """The training and the validation split, encoded, with the rows' own weights alone.

    Raises:
        DataError: A split is damaged or empty, or there is one class only.
    """
    train = examples(artifacts.split("train").read(), features, "train")
    validation = examples(artifacts.split("validation").read(), features, "validation")
    require_classes(train, features.label)
    return train, validation


def weighted(train: Examples, choice: str | Mapping[str, float], label: Label) -> Examples:
    """The same rows, weighed by `train.class_weights` as well (see `examples.class_weights`).

    Raises:
        ConfigError: The task has no classes, or the names are not its classes.
    """
    by_class = class_weights(choice, train.labels, label)
    return replace(train, weights=multiplied(train.weights, by_class))
