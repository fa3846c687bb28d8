"""Bags of words in NumPy: the reference for what the graph does with bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.feature_kinds import BagFeature
from pipeline.core.words import hashed

NO_WORD_PATTERN = r"[\x00-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f]+"
"""RE2 pattern of what separates the words of a text: ASCII that is no letter and no digit."""

_NO_WORD = bytes(byte if byte >= 0x80 or chr(byte).isalnum() else ord(" ") for byte in range(256))
"""The same as a table from byte to byte."""
_ROWS_AT_ONCE = 8192


def tokens(text: str, separator: str | None) -> list[bytes]:
    """The words of a text or the entries of a list, as `features.BagFeature` says."""
    raw = text.encode("utf-8", errors="replace")
    if separator is None:
        return raw.lower().translate(_NO_WORD).split()
    entries = (entry.strip() for entry in raw.split(separator.encode()))
    return [entry for entry in entries if entry]


def bag(words: pd.Series[Any], feature: BagFeature) -> NDArray[np.float32]:
    """The dense columns of a bag, `[feature.width, len(words)]`."""
    columns = {word.encode(): place for place, word in enumerate(feature.vocabulary)}
    made = np.empty((feature.width, len(words)), np.float32)
    texts = words.tolist()
    # In blocks, because float64 of all rows at once would be the largest thing in memory.
    for start in range(0, len(texts), _ROWS_AT_ONCE):
        block = texts[start : start + _ROWS_AT_ONCE]
        made[:, start : start + len(block)] = _weighted(_counts(block, columns, feature), feature)
    return made


def _counts(
    texts: Sequence[str], columns: dict[bytes, int], feature: BagFeature
) -> NDArray[np.float64]:
    rows, places = [], []
    for row, text in enumerate(texts):
        for token in tokens(text, feature.separator):
            place = columns.get(token, -1)
            if place < 0 and feature.hash_buckets:
                place = len(feature.vocabulary) + hashed(token, feature.hash_buckets)
            if place >= 0:
                rows.append(row)
                places.append(place)
    counts = np.zeros((feature.width, len(texts)))
    np.add.at(counts, (places, rows), 1.0)
    return counts


def _weighted(counts: NDArray[np.float64], feature: BagFeature) -> NDArray[np.float64]:
    match feature.weighting:
        case "binary":
            return np.minimum(counts, 1.0)
        case "tf_idf":
            weighed = counts * np.array(feature.idf)[:, None]
            norm = np.sqrt((weighed * weighed).sum(axis=0))
            # An empty row has nothing but zeros, which no divisor changes.
            scaled: NDArray[np.float64] = weighed / np.where(norm > 0, norm, 1.0)
            return scaled
    return counts
