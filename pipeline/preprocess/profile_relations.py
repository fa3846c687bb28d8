"""How columns go together: which say nearly the same, and which miss their values together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.preprocess import profile_statistics as statistics
from pipeline.preprocess.clean import missing
from pipeline.preprocess.profile_records import ColumnKind, MissingPattern, Relation

ROWS = 20_000
"""Training rows looked at, evenly spaced; a correlation is known to 0.007 then."""
_WORTH_A_LINE = 0.5
_MOST_RELATIONS = 30
_MOST_PATTERNS = 12
_MOST_WORDS = 50
"""Columns of more different words are not compared: nearly every pair of rare words is unique."""
_MOST_CATEGORIES = 60
"""So many columns of words are compared with each other, 1,770 pairs; the first ones."""


def relations(frame: pd.DataFrame, kinds: Mapping[str, ColumnKind]) -> tuple[Relation, ...]:
    """Pairs of columns that go together, the closest first.

    Numbers and dates by Spearman's rank correlation, words and truth values by Cramer's V.

    Args:
        frame: Training rows in served dtypes.
        kinds: What each column to compare holds.
    """
    numbers = [name for name, kind in kinds.items() if kind == "number"]
    words = [name for name, kind in kinds.items() if kind in {"category", "truth"}]
    found = [*_rank_correlations(frame, numbers), *_contingencies(frame, words)]
    close = [one for one in found if abs(one.value) >= _WORTH_A_LINE]
    return tuple(sorted(close, key=lambda one: -abs(one.value))[:_MOST_RELATIONS])


def _rank_correlations(frame: pd.DataFrame, names: Sequence[str]) -> list[Relation]:
    if len(names) < 2:
        return []
    # pandas leaves out, pair by pair, the rows that miss one of the two.
    matrix = frame[list(names)].astype("float64").corr(method="spearman").to_numpy()
    return [
        Relation(first=names[i], second=names[j], measure="spearman", value=float(matrix[i, j]))
        for i, j in combinations(range(len(names)), 2)
        if np.isfinite(matrix[i, j])
    ]


def _contingencies(frame: pd.DataFrame, names: Sequence[str]) -> list[Relation]:
    codes = {name: _codes(frame[name]) for name in names}
    few = [name for name, one in codes.items() if 1 < one.max(initial=-1) + 1 <= _MOST_WORDS]
    found = []
    for first, second in combinations(few[:_MOST_CATEGORIES], 2):
        one, other = codes[first], codes[second]
        both = (one >= 0) & (other >= 0)
        width = int(other.max()) + 1
        cells = np.bincount(one[both] * width + other[both], minlength=(int(one.max()) + 1) * width)
        value = statistics.cramers_v(cells.reshape(-1, width))
        if value is not None:
            found.append(Relation(first=first, second=second, measure="cramers_v", value=value))
    return found


def _codes(values: pd.Series[Any]) -> NDArray[np.int64]:
    """A number for each different value, -1 where missing."""
    gone = missing(values)
    codes = pd.factorize(values.mask(gone))[0].astype(np.int64)
    return np.where(gone, -1, codes)


def missing_patterns(frame: pd.DataFrame, names: Sequence[str]) -> tuple[MissingPattern, ...]:
    """Which columns miss their values in the same rows, the commonest combination first.

    Args:
        frame: Training rows in served dtypes.
        names: The columns looked at; the combination of none is left out.
    """
    flags = {name: missing(frame[name]) for name in names}
    holed = [name for name, gone in flags.items() if gone.any()]
    if not holed:
        return ()
    matrix = np.column_stack([flags[name] for name in holed])
    patterns, counts = np.unique(matrix, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    found = [
        MissingPattern(
            columns=tuple(name for name, gone in zip(holed, patterns[i], strict=True) if gone),
            fraction=float(counts[i]) / len(frame),
        )
        for i in order
    ]
    return tuple(one for one in found if one.columns)[:_MOST_PATTERNS]
