"""Makes the label: a class index or a number for each row, and the names of the classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.errors import DataError, nearest
from pipeline.core.features import Label
from pipeline.preprocess.config import LabelConfig

_MOST_CLASSES = 1000
_NEGATIVE, _POSITIVE = "false", "true"


@dataclass(frozen=True)
class Labelled:
    """The label of every row.

    Attributes:
        values: int64 class indices, or float64 values for regression, shape [rows].
        label: What they mean; mean and scale are fitted later, on the training split.
    """

    values: NDArray[Any]
    label: Label


def make_label(raw: pd.Series[Any], config: LabelConfig) -> Labelled:
    """Turns the cleaned raw label into indices or values.

    Args:
        raw: float64 for regression and thresholds, else words; no value missing.
        config: Task, threshold, classes.

    Raises:
        DataError: There is one class or value only, a class nobody named, a number of classes
            that does not fit the task, or a number for each row where classes were expected.
    """
    if config.task == "regression":
        values = raw.to_numpy(dtype=np.float64)
        _refuse_one_value(values, config)
        return Labelled(values, Label(column=config.column, task=config.task))
    if config.threshold is not None:
        classes = config.classes or (_NEGATIVE, _POSITIVE)
        indices = (raw.to_numpy(dtype=np.float64) > config.threshold).astype(np.int64)
    else:
        codes, known = pd.factorize(raw)
        words = [str(word) for word in known]
        classes = _classes(words, config)
        indices = np.array([classes.index(word) for word in words], np.int64)[codes]
    _refuse_one_class(indices, classes, config)
    return Labelled(indices, Label(column=config.column, task=config.task, classes=classes))


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


def _refuse_one_class(
    indices: NDArray[np.int64], classes: tuple[str, ...], config: LabelConfig
) -> None:
    present = np.unique(indices)
    if len(present) > 1:
        return
    bound = "" if config.threshold is None else f" (threshold {config.threshold:g})"
    raise DataError(
        f"all {len(indices):,} rows have one class: {classes[present[0]]}{bound}",
        expected="rows of at least two classes",
        remedy="bring rows of other classes, or correct data.label",
    )


def _refuse_one_value(values: NDArray[np.float64], config: LabelConfig) -> None:
    if values.min() == values.max():
        raise DataError(
            f"the label '{config.column}' is {values[0]:g} in all {len(values):,} rows",
            expected="different values",
            remedy="bring other rows, or name another column under data.label",
        )
