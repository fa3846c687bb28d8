"""The prepared data as training sees it: features, both splits encoded, weights of the rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pipeline.core.artifacts import Artifacts
from pipeline.core.console import say
from pipeline.core.errors import DataError
from pipeline.core.features import FeatureSet, Label
from pipeline.train.augment import augmented
from pipeline.train.config import TrainStageConfig
from pipeline.train.examples import (
    Examples,
    class_weights,
    examples,
    multiplied,
    require_classes,
)
from pipeline.train.input import InMemory, Source
from pipeline.train.stored import Stored, store, too_large
from pipeline.train.strategy import Team
from pipeline.train.validation import require_monitor


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


def sources(
    config: TrainStageConfig, artifacts: Artifacts, features: FeatureSet, team: Team
) -> tuple[Source, Examples]:
    """The training split, augmented where asked for, and the validation split.

    Raises:
        DataError: A split is damaged or empty, or there is one class only.
        ConfigError: `train.class_weights` or the early stopping's monitor does not fit the task.
    """
    choice, label = config.train.class_weights, features.label
    source: Source
    if _streamed(config, artifacts, features, team):
        stored = Stored(store(artifacts, features, "train", choice))
        source, train = stored, stored.examples()
        validation = Stored(store(artifacts, features, "validation")).examples()
        require_classes(train, label)
    else:
        plain, validation = encoded_splits(artifacts, features)
        train = weighted(plain, choice, label)
        source = InMemory(train)
    require_monitor(config.train.early_stopping.monitor, label, validation)
    return augmented(source, train, config.train, features), validation


def _streamed(
    config: TrainStageConfig, artifacts: Artifacts, features: FeatureSet, team: Team
) -> bool:
    """Whether rows are read from disk: where one worker has to, all do, for the order's sake."""
    if config.train.input != "auto":
        return config.train.input == "stream"
    wish = too_large(artifacts, features, team.workers)
    streamed = bool(team.gather(np.array([[wish]], np.int32)).any())
    if streamed and team.is_chief:
        say("the encoded rows are too large for memory: streaming them from disk")
    return streamed
