"""Target encoding in NumPy, and the constants that the graph looks up as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.feature_kinds_label import TargetFeature

OUT_OF_FOLD = "__out_of_fold__."
"""Stands before the name of a dense column in the processed training split."""


def target_table(feature: TargetFeature) -> NDArray[np.float32]:
    """The dense values by word, `[len(vocabulary) + 1, columns]`; the last is of unknown words.

    Both roads look values up here, so that they are equal to the last bit.
    """
    return np.array([*feature.values, feature.unknown], np.float32)


def places_of(words: pd.Series[Any], vocabulary: Sequence[str]) -> NDArray[np.int64]:
    """The place of each word in the vocabulary; its length for unknown ones."""
    places = {word: place for place, word in enumerate(vocabulary)}
    codes, known = pd.factorize(words)
    unknown = len(places)
    found = np.array([places.get(word, unknown) for word in known.tolist()], np.int64)
    return found[codes]


def word_places(words: pd.Series[Any], feature: TargetFeature) -> NDArray[np.int64]:
    """The row of `target_table` of each word."""
    return places_of(words, feature.vocabulary)


def target_means(words: pd.Series[Any], feature: TargetFeature) -> list[NDArray[np.float32]]:
    """The dense columns of words."""
    return list(target_table(feature)[word_places(words, feature)].T)
