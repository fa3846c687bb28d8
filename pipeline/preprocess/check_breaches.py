"""Broken rules, and how people are told of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.errors import DataError
from pipeline.preprocess.clean import without_value
from pipeline.preprocess.raw import Typed, spoken

Rule = Literal[
    "wrong_type",
    "no_value",
    "too_many_missing",
    "not_allowed",
    "not_unique",
    "no_weight",
    "out_of_range",
    "above_other",
]
"""In the order in which a column is held against them."""


_WIDEST = 100
"""Characters of a value that are shown."""


@dataclass(frozen=True)
class Breach:
    """One rule that one column breaks.

    Attributes:
        column: Name in the working table.
        rule: Which rule.
        said: The rule for people, as what should hold: "is at least 5".
        rows: The rows that break it, from 0 in order; empty where the column as a whole does.
    """

    column: str
    rule: Rule
    said: str
    rows: NDArray[np.int64]


@dataclass(frozen=True)
class Told:
    """A breach for people.

    Attributes:
        column: Raw column.
        said: What should hold.
        rows: Rows that break it; None where the column as a whole does.
        shown: The first of them, or what is wrong with the whole.
    """

    column: str
    said: str
    rows: int | None
    shown: tuple[str, ...]

    def line(self) -> str:
        """One line."""
        where = ", ".join(self.shown)
        if self.rows is not None:
            more = ", ..." if self.rows > len(self.shown) else ""
            where = f"{self.rows:,} rows ({where}{more})"
        return f"  '{self.column}' {self.said}: not so in {where}"


def told_of(
    one: Breach, typed: Typed, label: str, limit: int, offset: int = 0, *, wrong_too: bool = True
) -> Told:
    """Tells of a breach.

    Args:
        one: The breach.
        typed: The table.
        label: Raw name of the label.
        limit: How many rows are shown.
        offset: The number of the table's first row, from 0.
        wrong_too: Whether values of another kind count as missing.
    """
    name = spoken(one.column, label)
    if not len(one.rows):
        gone = without_value(typed, one.column, wrong_too=wrong_too)
        share = f"{gone.mean():.1%} missing"
        return Told(name, one.said, None, (share,))
    shown = examples(typed.raw[name], one.rows, limit, offset)
    return Told(name, one.said, len(one.rows), tuple(shown))


def touched_rows(broken: Sequence[Breach]) -> int:
    """How many rows break a rule."""
    return len(np.unique(np.concatenate([one.rows for one in broken]))) if broken else 0


def explained(told: Sequence[Told], touched: int, rows: int) -> DataError:
    """The error that names every broken rule."""
    lines = [one.line() for one in told]
    rows_said = f" in {touched:,} of {rows:,} rows" if touched else ""
    return DataError(
        f"the table breaks {len(lines)} rule{'s' * (len(lines) > 1)}{rows_said}\n"
        + "\n".join(lines),
        expected="what data.columns says of each column",
        remedy="correct the source; or correct kind, range, allowed, format or "
        "max_missing_fraction under data.columns; or let preprocess.wrong_type and "
        "preprocess.out_of_range repair it (missing | drop)",
    )


def examples(
    values: pd.Series[Any], rows: NDArray[np.int64], limit: int, offset: int = 0
) -> list[str]:
    """The first `limit` of `rows` with what stands there; rows count from 1 for people."""
    first = rows[:limit]
    # tolist, because it gives Python's own numbers, which print plainly.
    shown = values.iloc[first].tolist()
    return [
        f"row {row + 1 + offset}: {shortened(repr(value))}"
        for row, value in zip(first, shown, strict=True)
    ]


def shortened(text: str) -> str:
    """A text that may be shown to people, however long the value behind it."""
    return text if len(text) <= _WIDEST else f"{text[:_WIDEST]}... ({len(text):,} characters)"
