"""Pictures of the profile as inline SVG: shapes only, so that the page stays small.

Shapes live on a grid of 10 units a bar by 100 units and are stretched by the browser; words and
numbers stand around them as HTML, where they stay readable at any width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.core.records import SPLITS, Split
from pipeline.preprocess.profile_records import Distribution

_BAR = 10
_HEIGHT = 100
_FEWEST_ROWS = 10
"""A bar with fewer training rows says nothing certain about the label and is left out."""


def histogram(distribution: Distribution) -> str:
    """Training rows as an area, the other splits as lines; each split's bars sum to one."""
    shares = _shares(distribution)
    highest = max(max(values) for values in shares.values()) or 1.0
    shapes = [
        f'<path class="{split}" d="{_steps([value / highest for value in values])}"/>'
        for split, values in shares.items()
        if any(values)
    ]
    return _svg("histogram", len(distribution.names), "".join(shapes))


def _shares(distribution: Distribution) -> dict[Split, list[float]]:
    shares: dict[Split, list[float]] = {}
    for split in SPLITS:
        counts = distribution.counts[split]
        shares[split] = [count / max(sum(counts), 1) for count in counts]
    return shares


def _steps(heights: Sequence[float]) -> str:
    """A staircase over the bars, closed on the ground so that it can be filled."""
    steps = "".join(f"V{_y(height)}h{_BAR}" for height in heights)
    return f"M0 {_HEIGHT}{steps}V{_HEIGHT}Z"


def _y(height: float) -> int:
    return round(_HEIGHT * (1 - height))


def label_levels(distribution: Distribution) -> list[float | None]:
    """Share of the positive class, or mean label, of each bar; None where rows are too few."""
    counts = distribution.counts["train"]
    if distribution.classes:
        levels: Sequence[float | None] = [
            row[-1] / count if count else None
            for row, count in zip(distribution.classes, counts, strict=True)
        ]
    else:
        levels = distribution.label_means
    return [
        level if count >= _FEWEST_ROWS else None
        for level, count in zip(levels, counts, strict=True)
    ]


def level_strip(distribution: Distribution, low: float, high: float) -> str:
    """One dash a bar at the height of its label level, on a scale from `low` to `high`."""
    span = (high - low) or 1.0
    dashes = "".join(
        f"M{_BAR * place + 1} {_y(0.06 + 0.88 * (level - low) / span)}h{_BAR - 2}"
        for place, level in enumerate(label_levels(distribution))
        if level is not None
    )
    return _svg("strip", len(distribution.names), f'<path class="level" d="{dashes}"/>')


def class_strip(distribution: Distribution) -> str:
    """Shares of the classes in each bar, stacked from the ground up."""
    table = np.array(distribution.classes, dtype=np.float64).reshape(len(distribution.names), -1)
    totals = table.sum(axis=1, keepdims=True)
    tops = np.cumsum(table / np.maximum(totals, 1), axis=1)
    # Painted from the last class down, each over the ground of the one before.
    layers = [
        f'<path class="class{min(index, 7)}" d="{_steps(tops[:, index].tolist())}"/>'
        for index in reversed(range(table.shape[1]))
    ]
    return _svg("strip", len(distribution.names), "".join(layers))


def _svg(kind: str, bars: int, shapes: str) -> str:
    return (
        f'<svg class="{kind}" viewBox="0 0 {_BAR * bars} {_HEIGHT}" '
        f'preserveAspectRatio="none" aria-hidden="true">{shapes}</svg>'
    )
