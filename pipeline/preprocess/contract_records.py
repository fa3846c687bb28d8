"""What holding new rows against the contract can find."""

from __future__ import annotations

from typing import Literal

from pipeline.core.schema import config
from pipeline.preprocess.check_breaches import shortened
from pipeline.preprocess.summary_words import Words

AnomalyKind = Literal[
    "missing_column",
    "wrong_type",
    "out_of_range",
    "not_allowed",
    "too_many_missing",
    "no_value",
    "not_unique",
    "above_other",
    "no_weight",
    "new_column",
    "new_words",
    "beyond_training",
    "more_missing",
    "never_missing",
    "duplicates",
    "bad_rows",
    "bad_text",
    "lost_digits",
]


Severity = Literal["error", "warning"]


@config
class Anomaly:
    """One thing about the rows that is not as it was agreed or as it used to be."""

    kind: AnomalyKind
    """What it is."""
    severity: Severity
    """error: a rule of the config is broken; warning: repaired, or unlike the training rows."""
    column: str | None
    """Raw column; None for the table."""
    rows: int
    """Rows it touches."""
    fraction: float
    """The same as a share of all rows, 0 to 1."""
    text: str
    """One sentence for people."""
    examples: tuple[str, ...] = ()
    """The first rows, or the commonest words."""


def whole(
    kind: AnomalyKind,
    column: str,
    said: str,
    *,
    rows: int,
    of: int,
    severity: Severity = "warning",
) -> Anomaly:
    """An anomaly of a column as a whole that touches `rows` rows."""
    share = rows / of if of else 0.0
    return Anomaly(
        kind=kind, severity=severity, column=column, rows=rows, fraction=share, text=said
    )


def commonest(words: Words, shown: int) -> tuple[str, ...]:
    """The commonest words with their rows, for people."""
    counts = words.counts.sort_values(ascending=False, kind="stable")
    return tuple(f"{shortened(repr(word))}: {rows:,} rows" for word, rows in counts[:shown].items())
