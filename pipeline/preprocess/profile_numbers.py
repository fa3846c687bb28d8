"""Numbers and dates of the profile: quantiles, histogram, tie with the label."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.core.records import SPLITS
from pipeline.preprocess import profile_statistics as statistics
from pipeline.preprocess.profile_records import Association
from pipeline.preprocess.profile_statistics import Floats, Ints
from pipeline.preprocess.profile_table import Sketch, Stack, Values

_BINS = 30
_CELLS = 10
_FEW_VALUES = 32
"""Up to so many different values each gets a bar of its own: months, hours, counts."""
_LONG_TAIL = 3.0
"""A range so many times wider than that of the middle 99 % is cut to the latter."""


def sketch(stack: Stack, values: Values) -> Sketch:
    """Describes a column of numbers or dates."""
    numbers = values.numbers
    train = numbers[stack.train]
    ordered = np.sort(train[~np.isnan(train)])
    distinct, lengths = _runs(ordered)
    if len(distinct) <= _FEW_VALUES:
        bars = cells = _bin(numbers, (distinct[1:] + distinct[:-1]) / 2)
        cell_count = len(distinct)
        names, edges = tuple(_name(value) for value in distinct), ()
    else:
        grid = _edges(ordered)
        bars = _even_bin(numbers, grid)
        inner = np.unique(_quantiles(ordered, np.arange(1, _CELLS) / _CELLS))
        cells, cell_count = _bin(numbers, inner), len(inner) + 1
        names, edges = tuple(_name(edge) for edge in grid[:-1]), tuple(grid.tolist())
    return Sketch(
        distinct=len(distinct),
        common_rows=int(lengths.max(initial=0)),
        summary=_summary(ordered),
        association=_association(stack, numbers, cells, cell_count),
        ordered=True,
        bars=bars,
        names=names,
        edges=edges,
        cells=cells,
        cell_count=cell_count,
        unseen=dict.fromkeys(SPLITS, 0),
    )


def _runs(ordered: Floats) -> tuple[Floats, Ints]:
    """The different values of a sorted array, and how often each occurs."""
    starts = np.flatnonzero(np.diff(ordered, prepend=np.nan) != 0)
    return ordered[starts], np.diff(starts, append=len(ordered))


def _quantiles(ordered: Floats, at: Floats) -> Floats:
    """Values at the fractions `at` of a sorted array; the lower neighbour, no interpolation."""
    return ordered[((len(ordered) - 1) * at).astype(np.int64)]


def _edges(ordered: Floats) -> Floats:
    """Edges of the histogram: the whole range, or that of the middle 99 % of a long tail."""
    low, start, end, high = _quantiles(ordered, np.array([0.0, 0.005, 0.995, 1.0]))
    if end > start and high - low > _LONG_TAIL * (end - start):
        low, high = start, end
    return np.linspace(low, high, _BINS + 1)


def _bin(numbers: Floats, inner: Floats) -> Ints:
    """Number of `inner` edges at or below each number; -1 for NaN."""
    found = np.searchsorted(inner, numbers, side="right")
    return np.where(np.isnan(numbers), -1, found)


def _even_bin(numbers: Floats, edges: Floats) -> Ints:
    """Bin of equal width of each number, the ends catching what lies beyond; -1 for NaN."""
    with np.errstate(invalid="ignore"):
        place = (numbers - edges[0]) * (_BINS / (edges[-1] - edges[0]))
        found = np.clip(place, 0, _BINS - 1).astype(np.int64)
    return np.where(np.isnan(numbers), -1, found)


def _name(value: float) -> str:
    return f"{value:.10g}"


def _summary(ordered: Floats) -> dict[str, float]:
    if not len(ordered):
        return {}
    low, first, median, third, high = _quantiles(ordered, np.array([0, 0.25, 0.5, 0.75, 1]))
    # Scaled by the largest magnitude, so that squares of huge values stay finite.
    largest = max(abs(low), abs(high)) or 1.0
    scaled = ordered / largest
    return {
        "min": float(low),
        "quarter": float(first),
        "median": float(median),
        "three_quarters": float(third),
        "max": float(high),
        "mean": float(scaled.mean() * largest),
        "deviation": float(scaled.std() * largest),
    }


def _association(
    stack: Stack, numbers: Floats, cells: Ints, cell_count: int
) -> tuple[Association, ...]:
    known = ~np.isnan(numbers[stack.train])
    train, label = numbers[stack.train][known], stack.label[stack.train][known]
    if stack.task == "multiclass":
        share = statistics.mutual_information(stack.count_classes(cells, cell_count))
        if share is None:
            return ()
        return (Association(measure="mutual_information", value=share, strength=share),)
    if stack.task == "binary":
        area = statistics.auc(train, label == 1)
        if area is None or len(train) and train.min() == train.max():
            return ()
        return (Association(measure="auc", value=area, strength=abs(2 * area - 1)),)
    target = label.astype(np.float64)
    return (
        *_correlation("pearson", statistics.pearson, train, target),
        *_correlation("spearman", statistics.spearman, train, target),
    )


def _correlation(measure, compute: Callable[[Floats, Floats], float | None], train, label):
    value = compute(train, label)
    return () if value is None else (Association(measure=measure, value=value, strength=abs(value)),)
