"""Makes the label: a class index or a number for each row, and the names of the classes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.errors import DataError, nearest
from pipeline.core.features import THRESHOLD_CLASSES, Label
from pipeline.preprocess.config import LabelConfig

_MOST_CLASSES = 1000
_MOST_WORDS = 100_000
"""So many different words are far too many for classes; no more are kept."""


@dataclass(frozen=True)
class Labelled:
    """The label of every row.

    Attributes:
        values: int64 class indices, or float64 values for regression, shape [rows].
        label: What they mean; mean and scale are fitted later, on the training split.
    """

    values: NDArray[Any]
    label: Label


@dataclass
class LabelSeen:
    """What decides about the label's classes; mergeable.

    Attributes:
        rows: Labelled rows.
        words: The different words in order of appearance; none where the label is a number.
        low: The smallest number.
        high: The largest.
    """

    rows: int = 0
    words: dict[str, None] = field(default_factory=dict)
    low: float = float("inf")
    high: float = float("-inf")

    def add(self, raw: pd.Series[Any]) -> None:
        """Adds raw labels without a missing one: float64 numbers or words."""
        if not len(raw):
            return
        self.rows += len(raw)
        if raw.dtype.kind == "f":
            self._stretch(float(raw.min()), float(raw.max()))
        else:
            self._take(map(str, raw.unique().tolist()))

    def merge(self, other: LabelSeen) -> None:
        """Adds what `other` has seen."""
        self.rows += other.rows
        self._stretch(other.low, other.high)
        self._take(other.words)

    def _stretch(self, low: float, high: float) -> None:
        self.low, self.high = min(self.low, low), max(self.high, high)

    def _take(self, words: Iterable[str]) -> None:
        if len(self.words) < _MOST_WORDS:
            self.words.update(dict.fromkeys(words))


def make_label(raw: pd.Series[Any], config: LabelConfig) -> Labelled:
    """Turns the cleaned raw label into indices or values.

    Args:
        raw: float64 for regression and thresholds, else words; no value missing.
        config: Task, threshold, classes.

    Raises:
        DataError: There is one class or value only, a class nobody named, a number of classes
            that does not fit the task, or a number for each row where classes were expected.
    """
    seen = LabelSeen()
    seen.add(raw)
    label = decided(seen, config)
    return Labelled(label_values(raw, label, config), label)


def decided(seen: LabelSeen, config: LabelConfig) -> Label:
    """What the label's values mean; raises as `make_label` does."""
    if config.task == "regression":
        _refuse_one_value(seen, config)
        return Label(column=config.column, task=config.task)
    if config.threshold is not None:
        classes = config.classes or THRESHOLD_CLASSES
        present = [classes[end > config.threshold] for end in (seen.low, seen.high)]
    else:
        classes = _classes(list(seen.words), config)
        present = list(seen.words)
    _refuse_one_class(present, seen.rows, config)
    return Label(column=config.column, task=config.task, classes=classes)


def label_values(raw: pd.Series[Any], label: Label, config: LabelConfig) -> NDArray[Any]:
    """Class indices (int64), or values (float64) of a regression.

    Args:
        raw: float64 for regression and thresholds, else words; no value missing.
        label: What was decided of all rows.
        config: Task, threshold, classes.
    """
    if config.task == "regression":
        return raw.to_numpy(dtype=np.float64)
    if config.threshold is not None:
        return (raw.to_numpy(dtype=np.float64) > config.threshold).astype(np.int64)
    codes, known = pd.factorize(raw)
    indices = np.array([label.classes.index(str(word)) for word in known], np.int64)
    values: NDArray[Any] = indices[codes]
    return values


def in_order(words: list[str]) -> tuple[str, ...]:
    """Sorted: by value where all are numbers ("2" before "10"), else as text."""
    try:
        return tuple(sorted(words, key=lambda word: (float(word), word)))
    except ValueError:
        return tuple(sorted(words))


def _classes(words: list[str], config: LabelConfig) -> tuple[str, ...]:
    if config.classes:
        _refuse_unknown(words, config)
        return config.classes
    if len(words) > _MOST_CLASSES:
        raise DataError(
            f"the label '{config.column}' has {len(words):,} different values",
            expected=f"at most {_MOST_CLASSES} classes for task {config.task}",
            remedy="set data.label.task=regression, or name another column",
        )
    classes = in_order(words)
    if config.task == "binary" and len(classes) > 2:
        raise DataError(
            f"the label '{config.column}' has {len(classes)} classes: {', '.join(classes[:10])}",
            expected="two classes for task binary",
            remedy="set data.label.task=multiclass, or data.label.threshold for a number",
        )
    if config.positive is None or len(classes) < 2:
        return classes
    if config.positive not in classes:
        near = nearest(config.positive, classes)
        raise DataError(
            f"the label '{config.column}' has no class '{config.positive}'",
            expected=f"one of {', '.join(classes)}",
            remedy=f"set data.label.positive={(near or classes)[0]}",
        )
    return tuple(sorted(classes, key=lambda word: word == config.positive))


def _refuse_unknown(words: list[str], config: LabelConfig) -> None:
    unknown = [word for word in words if word not in config.classes]
    if unknown:
        raise DataError(
            f"the label '{config.column}' has classes nobody named: {', '.join(unknown[:10])}",
            expected=f"one of {', '.join(config.classes)}",
            remedy="add them to data.label.classes, or correct the source",
        )


def _refuse_one_class(present: list[str], rows: int, config: LabelConfig) -> None:
    if len(set(present)) > 1:
        return
    bound = "" if config.threshold is None else f" (threshold {config.threshold:g})"
    raise DataError(
        f"all {rows:,} rows have one class: {present[0]}{bound}",
        expected="rows of at least two classes",
        remedy="bring rows of other classes, or correct data.label",
    )


def _refuse_one_value(seen: LabelSeen, config: LabelConfig) -> None:
    if seen.low == seen.high:
        raise DataError(
            f"the label '{config.column}' is {seen.low:g} in all {seen.rows:,} rows",
            expected="different values",
            remedy="bring other rows, or name another column under data.label",
        )
