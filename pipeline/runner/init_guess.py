"""A guess about a column: what it is taken for, with what options, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

Kind = Literal["numeric", "categorical", "boolean", "datetime", "id", "latitude", "longitude"]

Columns = Callable[[str], "pd.Series[Any]"]
"""Gives a column of the raw table by its name."""

MANY_WORDS = 1000
"""More different words than this share hash buckets."""
_ONE_HOT_WORDS = 6
_SMALL_TABLE, _USUAL_MIN_COUNT = 1000, 5


@dataclass(frozen=True)
class Guess:
    """What a column is taken for.

    Attributes:
        kind: None for a column that is left out.
        options: Keys beside `kind`, where they differ from the defaults.
        note: Why, for the comment beside it.
        warning: What a person should know; empty where all is plain.
        as_text: Whether the source must be told to read it as text.
        stray_words: Words that stand for a missing number here.
        moments: Parsed dates by row, for a datetime.
        suspicion: Why it is left out although it could be a feature; empty where it is not.
    """

    kind: Kind | None
    options: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    warning: str = ""
    as_text: bool = False
    stray_words: tuple[str, ...] = ()
    moments: pd.Series[Any] | None = None
    suspicion: str = ""

    @property
    def taken(self) -> bool:
        """Whether the column takes part."""
        return self.kind is not None and not self.suspicion

    @property
    def keys(self) -> dict[str, Any]:
        """Its config."""
        return {"kind": self.kind, **self.options}


def left_out(reason: str) -> Guess:
    """A column that is no feature and nothing to keep."""
    return Guess(None, note=reason, warning=f"left out: {reason}")


def word_options(present: pd.Series[Any]) -> dict[str, Any]:
    """Options of a categorical column that has these values."""
    counts = present.value_counts()
    options: dict[str, Any] = {}
    if len(counts) <= _ONE_HOT_WORDS:
        options["encoding"] = "one_hot"
    elif len(counts) > MANY_WORDS:
        options["hash_buckets"] = 256
    if len(present) < _SMALL_TABLE and counts.min() < _USUAL_MIN_COUNT:
        options["min_count"] = 2
    return options
