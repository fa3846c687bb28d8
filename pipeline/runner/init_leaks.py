"""Which columns give the label away: `preprocess`'s own check, before there is a config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.records import LABEL
from pipeline.core.schema import build
from pipeline.preprocess.config import ColumnConfig
from pipeline.preprocess.leak import leak_scores
from pipeline.preprocess.raw_values import typed_values
from pipeline.runner.init_guess import Columns, Guess
from pipeline.runner.init_label import LabelGuess

_VALIDATION_FRACTION = 0.2
_MOST_ROWS = 500_000
"""Evenly spaced rows that are looked at: as many as a run looks at by default."""
_MARGIN = 0.003
"""The run will split the rows otherwise, and may score a column a little higher than this look."""


def giveaways(
    column: Columns, columns: Mapping[str, Guess], label: LabelGuess, bound: float
) -> dict[str, float]:
    """Scores of the columns that alone predict the label almost perfectly.

    Args:
        column: Gives a column of the raw table.
        columns: Guesses by column.
        label: The label.
        bound: `preprocess.leakage_score`, at which the run would stop.

    Returns:
        Column to score (AUC or R2); empty where that would leave no column to learn from.
    """
    names = [name for name, guess in columns.items() if guess.kind not in {None, "id"}]
    labels = label.values[:: -(-len(label.values) // _MOST_ROWS)]
    codes = labels if label.task == "regression" else pd.factorize(labels)[0]
    typed = {name: _typed(column(name).loc[labels.index], columns[name]) for name in names}
    table = pd.DataFrame({**typed, LABEL: np.asarray(codes)})
    later = np.random.default_rng(0).random(len(table)) < _VALIDATION_FRACTION
    scores = leak_scores(table[~later], table[later], names, label.task)
    found = {name: score for name, score in scores.items() if score >= bound - _MARGIN}
    return found if len(found) < len(names) else {}


def _typed(values: pd.Series[Any], guess: Guess) -> Any:
    kept = values.mask(values.isin(guess.stray_words)) if guess.stray_words else values
    kind: Any = ColumnConfig
    converted, _ = typed_values(kept, build(kind, guess.keys))
    return converted
