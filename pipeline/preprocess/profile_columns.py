"""Describes one column of the profile, and the label."""

from __future__ import annotations

import numpy as np

from pipeline.core.records import SPLITS, Split
from pipeline.preprocess import profile_numbers, profile_words
from pipeline.preprocess import profile_statistics as statistics
from pipeline.preprocess.profile_records import ColumnProfile, Distribution
from pipeline.preprocess.profile_table import Sketch, Stack, Values

_SHIFT = 0.2
"""A population stability index that is worth a look: Siddiqi calls 0.1 slight and 0.25 large."""


def describe(stack: Stack, values: Values, *, feature: bool) -> ColumnProfile:
    """Everything the profile says about one column.

    Args:
        stack: The table.
        values: The column, from `profile_table.read`.
        feature: Whether the model sees it.
    """
    is_number = values.kind in {"number", "date"}
    sketch = (profile_numbers if is_number else profile_words).sketch(stack, values)
    missing = {split: int(rows[-1]) for split, rows in sketch.cells.items()}
    # A missing value counts as a value where the commonest one is sought.
    common_rows = max(sketch.common_rows, missing["train"])
    return ColumnProfile(
        name=values.name,
        kind=values.kind,
        feature=feature,
        distinct=sketch.distinct,
        common_fraction=_fraction(common_rows, stack.rows["train"]),
        missing_fraction=_fractions(stack, missing),
        summary=sketch.summary,
        association=sketch.association,
        missing_strength=_missing_strength(stack, values, sketch),
        drift=_drift(sketch),
        drift_bound=_drift_bound(sketch),
        unseen_fraction=_fractions(stack, sketch.unseen),
        distribution=sketch.distribution,
    )


def describe_label(stack: Stack) -> Distribution:
    """The label's own picture: rows of each class, or a histogram."""
    if stack.task == "regression":
        values = Values("", "number", stack.label.astype(np.float64), np.empty(0, np.int64), ())
        return profile_numbers.sketch(stack, values).distribution
    size = len(stack.classes)
    tally = stack.tally(stack.label.astype(np.int64), size)
    return tally.distribution(np.arange(size), stack.classes, ordered=False)


def _missing_strength(stack: Stack, values: Values, sketch: Sketch) -> float | None:
    """How much a missing value alone says about the label, 0 to 1."""
    if stack.task != "regression":
        return statistics.cramers_v(sketch.missing_classes)
    flags = values.missing[stack.train].astype(np.float64)
    r = statistics.pearson(flags, stack.label[stack.train].astype(np.float64))
    return None if r is None else abs(r)


def _drift(sketch: Sketch) -> dict[Split, float]:
    cells = sketch.cells
    return {split: statistics.stability_index(cells["train"], cells[split]) for split in SPLITS[1:]}


def _drift_bound(sketch: Sketch) -> dict[Split, float]:
    """What the index must exceed to mean something: a real shift, on top of sampling noise."""
    filled = int((np.sum(list(sketch.cells.values()), axis=0) > 0).sum())
    rows = {split: int(counts.sum()) for split, counts in sketch.cells.items()}
    return {
        split: _SHIFT + statistics.stability_noise(filled, rows["train"], rows[split])
        for split in SPLITS[1:]
    }


def _fractions(stack: Stack, rows: dict[Split, int]) -> dict[Split, float]:
    return {split: _fraction(count, stack.rows[split]) for split, count in rows.items()}


def _fraction(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
