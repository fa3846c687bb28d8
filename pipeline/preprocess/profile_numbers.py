"""Numbers and dates of the profile: quantiles, histogram, tie with the label."""

from __future__ import annotations

import numpy as np

from pipeline.core.records import SPLITS
from pipeline.preprocess import profile_statistics as statistics
from pipeline.preprocess.profile_records import Association, ColumnKind
from pipeline.preprocess.profile_statistics import Floats, Ints
from pipeline.preprocess.profile_table import Labels, Sketch, Stack, Values
from pipeline.preprocess.summary_cells import Moments

_BINS = 30
_FEWEST_CELLS, _MOST_CELLS = 10, 50
"""Quantile cells for drift and mutual information; about the square root of the rows."""
_FEW_VALUES = 32
"""Up to so many different values each gets a bar of its own: months, hours, counts."""
_LONG_TAIL = 3.0
"""A range so many times wider than that of the middle 99 % is cut to the latter."""


def sketch(stack: Stack, values: Values) -> Sketch:
    """Describes a column of numbers or dates."""
    train, others = _ordered(stack, values)
    distinct, lengths = _runs(train)
    shown = np.union1d(distinct, _runs(others)[0]) if len(distinct) <= _FEW_VALUES else distinct
    if len(shown) <= _FEW_VALUES:
        # Each value is an edge: what lies midway between two neighbours may round to either.
        bars = cells = stack.tally(_bin(values, shown[1:]), len(shown))
        names, edges = _names(shown, values.kind), []
    else:
        grid = _edges(train, others)
        bars = stack.tally(_even_bin(values, grid), _BINS)
        inner = _cell_edges(stack, train)
        cells = stack.tally(_bin(values, inner), len(inner) + 1)
        names, edges = [_name(edge, values.kind) for edge in grid[:-1]], grid.tolist()
    return Sketch(
        distinct=len(distinct),
        common_rows=int(lengths.max(initial=0)),
        summary=_summary(train),
        association=_association(stack, values, cells.classes[:-1]),
        distribution=bars.distribution(np.arange(len(names)), names, edges, ordered=True),
        missing_classes=bars.missing_classes,
        cells=cells.rows,
        unseen=dict.fromkeys(SPLITS, 0),
    )


def _ordered(stack: Stack, values: Values) -> tuple[Floats, Floats]:
    """Sorted values of the training split, and of the other splits together."""
    known = ~values.missing
    end = stack.train.stop
    train = np.sort(values.numbers[:end][known[:end]])
    return train, np.sort(values.numbers[end:][known[end:]])


def _runs(ordered: Floats) -> tuple[Floats, Ints]:
    """The different values of a sorted array, and how often each occurs."""
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)])
    return ordered[starts], np.diff(starts, append=len(ordered))


def _quantiles(ordered: Floats, at: Floats) -> Floats:
    """Values at the fractions `at` of a sorted array; the lower neighbour, no interpolation."""
    return ordered[((len(ordered) - 1) * at).astype(np.int64)]


def _cell_edges(stack: Stack, train: Floats) -> Floats:
    """Inner edges of the quantile cells: tenths, but finer where classes are to be told apart."""
    if not len(train):
        return np.empty(0)
    cells = _FEWEST_CELLS
    if stack.task == "multiclass":
        cells = int(np.clip(np.sqrt(len(train)), _FEWEST_CELLS, _MOST_CELLS))
    return statistics.cell_edges(_quantiles(train, np.arange(1, cells) / cells))


def _edges(train: Floats, others: Floats) -> Floats:
    """Edges of the histogram, wide enough for every split."""
    ranges = [_range(ordered) for ordered in (train, others) if len(ordered)]
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    half = _within_reach(low, high)
    return np.linspace(low * half, high * half, _BINS + 1) / half


def _range(ordered: Floats) -> tuple[float, float]:
    """The whole range of sorted values, or that of the middle 99 % where tails are long."""
    low, start, end, high = _quantiles(ordered, np.array([0.0, 0.005, 0.995, 1.0])).tolist()
    if end > start and high - low > _LONG_TAIL * (end - start):
        return start, end
    return low, high


def _within_reach(low: float, high: float) -> float:
    """1, or a half where the range from `low` to `high` is wider than float64 reaches."""
    return 1.0 if np.isfinite(high - low) else 0.5


def _bin(values: Values, inner: Floats) -> Ints:
    """Number of `inner` edges at or below each number; -1 for NaN."""
    found = np.where(values.missing, -1, np.searchsorted(inner, values.numbers, side="right"))
    return found.astype(np.int64, copy=False)


def _even_bin(values: Values, edges: Floats) -> Ints:
    """Bin of equal width of each number, the ends catching what lies beyond; -1 for NaN."""
    low, high = float(edges[0]), float(edges[-1])
    half = _within_reach(low, high)
    # What lies beyond an end by more than float64 reaches is infinitely far, and in the last bin.
    with np.errstate(over="ignore"):
        place = (values.numbers * half - low * half) / (high * half - low * half) * _BINS
    return np.where(values.missing, -1, np.clip(place, 0, _BINS - 1)).astype(np.int64)


def _names(shown: Floats, kind: ColumnKind) -> list[str]:
    """Different ones of different values: with all digits where ten do not tell them apart."""
    names = [_name(value, kind) for value in shown]
    return names if len({*names}) == len(names) else [f"{value!r}" for value in shown.tolist()]


def _name(value: float, kind: ColumnKind) -> str:
    if kind == "date":
        return str(np.datetime_as_string(np.datetime64(int(value), "s")))
    name = f"{value:.10g}"
    # The largest float64 of all, rounded up, would be infinity.
    return name if np.isfinite(float(name)) else repr(float(value))


def _summary(ordered: Floats) -> dict[str, float]:
    if not len(ordered):
        return {}
    low, first, median, third, high = _quantiles(ordered, np.array([0, 0.25, 0.5, 0.75, 1]))
    # Scaled by a power of two, which keeps every digit, so that squares of huge values are finite.
    size = int(np.frexp(max(abs(low), abs(high)))[1])
    moments = Moments.of(np.ldexp(ordered, -size))
    return {
        "min": float(low),
        "quarter": float(first),
        "median": float(median),
        "three_quarters": float(third),
        "max": float(high),
        "mean": float(np.ldexp(moments.mean, size)),
        "deviation": float(np.ldexp(moments.deviation, size)),
    }


def _association(stack: Stack, values: Values, by_class: Ints) -> tuple[Association, ...]:
    if stack.task == "multiclass":
        share = statistics.mutual_information(by_class)
        if share is None:
            return ()
        return (Association(measure="mutual_information", value=share, strength=share),)
    known = ~values.missing[stack.train]
    train, label = values.numbers[stack.train][known], stack.label[stack.train][known]
    if not len(train) or train.min() == train.max():
        return ()
    return _with_classes(train, label) if stack.task == "binary" else _with_value(train, label)


def _with_classes(train: Floats, label: Labels) -> tuple[Association, ...]:
    area = statistics.auc(train, label == 1)
    if area is None:
        return ()
    return (Association(measure="auc", value=area, strength=abs(2 * area - 1)),)


def _with_value(train: Floats, label: Labels) -> tuple[Association, ...]:
    target = label.astype(np.float64)
    linear, ranked = statistics.pearson(train, target), statistics.spearman(train, target)
    if linear is None or ranked is None:
        return ()
    return (
        Association(measure="pearson", value=linear, strength=abs(linear)),
        Association(measure="spearman", value=ranked, strength=abs(ranked)),
    )
