"""What the label most likely is, how to judge a model of it, and how to split the rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.errors import DataError
from pipeline.core.features import FALSE_WORDS, TRUE_WORDS, Column, Task
from pipeline.core.table import convert
from pipeline.preprocess.label import in_order
from pipeline.runner.init_guess import Guess

_FEW_NUMBERS, _ROWS_PER_NUMBER = 10, 10
_MOST_CLASSES = 500
_UNIQUE, _FEW_ROWS = 0.5, 20
_RARE_CLASS = 0.1
_SHOWN_CLASSES = 8
_LEAST_TO_STRATIFY = 10
_LEAST_SPLIT_FRACTION = 0.05


@dataclass(frozen=True)
class LabelGuess:
    """What is predicted.

    Attributes:
        task: Kind of prediction.
        values: By row, missing dropped: class names, or float64 for a regression.
        options: Keys beside `column` and `task`.
        notes: Lines for the comment above.
        metric: The metric to watch; a name of docs/evaluation.md.
        warnings: What a person should know.
    """

    task: Task
    values: pd.Series[Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    metric: str = ""
    warnings: tuple[str, ...] = ()


def guess_label(name: str, values: pd.Series[Any]) -> LabelGuess:
    """Guesses the task from the label's values.

    Raises:
        DataError: There is nothing to learn: no value, one class only, or a class for each row.
    """
    words, _ = convert(values, Column(name=name, dtype="string"))
    texts = pd.Series(words, index=values.index, dtype="str")
    present = texts[texts != ""]
    distinct = present.nunique()
    if distinct < 2:
        held = f"only the value {present.iloc[0]!r}" if distinct else "no value in any row"
        raise DataError(
            f"the label '{name}' has {held}",
            expected="at least two different values",
            remedy="choose another column with --label, or a table with more rows",
        )
    numbers, wrong = convert(values[present.index], Column(name=name, dtype="float64"))
    measured = pd.Series(numbers, index=present.index).dropna()
    if not wrong.any() and values.dtype != np.bool_ and not _few_numbers(measured, distinct):
        return _regression(measured)
    _require_classes(name, present, distinct)
    return _classes(present, numbered=not wrong.any())


def _few_numbers(numbers: pd.Series[Any], distinct: int) -> bool:
    """Whether numbers are few and whole enough to be classes."""
    whole = bool((numbers % 1 == 0).all())
    few = distinct == 2 or len(numbers) >= _ROWS_PER_NUMBER * distinct
    return whole and distinct <= _FEW_NUMBERS and few


def _require_classes(name: str, present: pd.Series[Any], distinct: int) -> None:
    if distinct > _MOST_CLASSES or (
        len(present) >= _FEW_ROWS and distinct > _UNIQUE * len(present)
    ):
        raise DataError(
            f"the label '{name}' has {distinct:,} different words in {len(present):,} rows, such "
            f"as {present.iloc[0][:40]!r}",
            expected=f"numbers to predict, or at most {_MOST_CLASSES} classes that repeat",
            remedy="choose another column with --label, or join rare classes in the table",
        )


def _regression(numbers: pd.Series[Any]) -> LabelGuess:
    spread = f"{numbers.min():g} to {numbers.max():g}, median {numbers.median():g}"
    notes = (f"A number: {spread}. Watch rmse and r2.",)
    return LabelGuess("regression", numbers, notes=notes, metric="rmse")


def _classes(present: pd.Series[Any], *, numbered: bool) -> LabelGuess:
    shares = present.value_counts(normalize=True)
    rare = bool(shares.min() < _RARE_CLASS)
    binary = len(shares) == 2
    metric = ("pr_auc" if rare else "auc") if binary else ("macro_f1" if rare else "accuracy")
    shown = ", ".join(f"{word} {share:.1%}" for word, share in shares[:_SHOWN_CLASSES].items())
    more = len(shares) - _SHOWN_CLASSES
    notes = [f"{shown}{f' and {more} more' if more > 0 else ''}. Watch {metric}."]
    if rare:
        notes.append("Unbalanced: `pipeline run train.class_weights=balanced` weights the classes.")
    if numbered and not binary:
        notes.append("Numbers taken as classes; `task: regression` if they count or measure.")
    smallest = present.value_counts().min()
    few = smallest < _LEAST_TO_STRATIFY
    warnings = (f"its rarest class has only {smallest} rows",) if few else ()
    options = _positive(shares) if binary else {}
    task: Task = "binary" if binary else "multiclass"
    return LabelGuess(task, present, options, tuple(notes), metric, warnings)


def _positive(shares: pd.Series[Any]) -> dict[str, Any]:
    """Names the positive class where it is not the last one in the order of text."""
    common, rare = (str(word) for word in shares.index)
    positive = rare
    if common.lower() in TRUE_WORDS and rare.lower() in FALSE_WORDS:
        positive = common
    return {} if positive == in_order([common, rare])[-1] else {"positive": positive}


def random_split(label: LabelGuess) -> dict[str, Any]:
    """A random split; each class by itself where every class has rows for all three splits."""
    counted = label.task == "regression" or label.values.value_counts().min() >= _LEAST_TO_STRATIFY
    return {
        "kind": "random",
        "validation_fraction": 0.15,
        "test_fraction": 0.15,
        "seed": 0,
        "stratify": bool(counted),
    }


def time_split(columns: Mapping[str, Guess], label: LabelGuess) -> dict[str, Any] | None:
    """A split by the one column that dates each row, None where there is none or several.

    The last 15 % of the time line are for testing, the 15 % before for validation. It is taken
    only where every class of the label occurs before, and no row is without a date.
    """
    dated = {name: guess.moments for name, guess in columns.items() if guess.moments is not None}
    if len(dated) != 1:
        return None
    (column, moments), *_ = dated.items()
    if len(moments) < len(label.values) or "birth" in column.lower():
        return None
    days = moments.dt.normalize()
    starts = days.quantile([0.7, 0.85], interpolation="nearest")
    validation_from, test_from = starts.iloc[0], starts.iloc[1]
    train = days < validation_from
    parts = [train.mean(), ((days >= validation_from) & (days < test_from)).mean()]
    parts.append((days >= test_from).mean())
    if min(parts) < _LEAST_SPLIT_FRACTION or not _all_classes(label, moments[train].index):
        return None
    return {
        "kind": "time",
        "column": column,
        "validation_from": f"{validation_from:%Y-%m-%d}",
        "test_from": f"{test_from:%Y-%m-%d}",
    }


def _all_classes(label: LabelGuess, rows: pd.Index[Any]) -> bool:
    if label.task == "regression":
        return True
    kept = label.values.reindex(rows).dropna()
    return bool(kept.nunique() == label.values.nunique())
