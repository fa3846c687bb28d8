"""What a table shows as rules to hold later rows to: `pipeline data schema --strict`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.features import Column
from pipeline.core.schema import build
from pipeline.core.table import convert
from pipeline.preprocess.clean import missing
from pipeline.preprocess.config import ColumnConfig
from pipeline.preprocess.raw_values import typed_values
from pipeline.runner.init_guess import Columns, Guess

_MOST_ALLOWED = 50
"""More different words than this are no closed list."""
LONGEST_ALLOWED = 200
"""Longer words are no names of anything, and stay out of configs."""
_FEWEST_COMPARED = 20
"""Fewer rows with both dates say nothing about their order."""


def with_rules(column: Columns, guesses: Mapping[str, Guess]) -> dict[str, Guess]:
    """Adds what holds in every row to the columns' options.

    Numbers get their `range`, words of a short list `allowed`, ids without a repetition `unique`,
    columns the share of values they miss, and a date that is never later than another `at_most`.

    Args:
        column: Gives a column of the raw table.
        guesses: What each column is taken for.
    """
    made = {
        name: _ruled(name, column(name), guess) if guess.taken else guess
        for name, guess in guesses.items()
    }
    for name, other in _ordered_dates(made).items():
        made[name] = _with(made[name], {"at_most": other})
    return made


def _ruled(name: str, values: pd.Series[Any], guess: Guess) -> Guess:
    kept = values.mask(values.isin(guess.stray_words)) if guess.stray_words else values
    if guess.as_text:
        kept = pd.Series(convert(kept, Column(name=name, dtype="string"))[0], name=name)
    how: Any = build(ColumnConfig, guess.keys)  # type: ignore[arg-type]
    typed = pd.Series(typed_values(kept, how)[0])
    gone = missing(typed)
    present = typed[~gone]
    options: dict[str, Any] = {"max_missing_fraction": _rounded_up(float(gone.mean()))}
    if guess.kind == "numeric" and present.nunique() > 1:
        options["range"] = [float(present.min()), float(present.max())]
    # Numbers that will be read as text have lost their leading zeros here.
    if guess.kind == "categorical" and not guess.as_text and _closed(present):
        options["allowed"] = present.value_counts().index.tolist()
    if guess.kind == "id" and present.is_unique:
        options["unique"] = True
    return _with(guess, options)


def _closed(words: pd.Series[Any]) -> bool:
    """Whether so few and so short words may be all there are."""
    short = bool((words.str.len() <= LONGEST_ALLOWED).all())
    return short and words.nunique() <= _MOST_ALLOWED


def _rounded_up(share: float) -> float:
    return float(np.ceil(share * 100) / 100)


def _with(guess: Guess, options: Mapping[str, Any]) -> Guess:
    return replace(guess, options={**guess.options, **options})


def _ordered_dates(guesses: Mapping[str, Guess]) -> dict[str, str]:
    """For each date the first other one that it is never later than, and not always equal to."""
    dates = {
        name: guess.moments.dt.tz_localize(None)
        for name, guess in guesses.items()
        if guess.taken and guess.moments is not None
    }
    found: dict[str, str] = {}
    for first, second in permutations(dates, 2):
        both = pd.concat([dates[first], dates[second]], axis=1).dropna()
        earlier, later = both.iloc[:, 0], both.iloc[:, 1]
        enough = len(both) >= _FEWEST_COMPARED
        if enough and (earlier <= later).all() and (earlier < later).any():
            found.setdefault(first, second)
    return found
