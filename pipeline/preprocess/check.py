"""The schema check: the whole table against what the config says of each column, at once.

What a rule may repair (`preprocess.wrong_type`, `preprocess.out_of_range`) is no breach here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray
from pandera.errors import SchemaErrors

from pipeline.core.errors import ConfigError, DataError, nearest
from pipeline.preprocess.config import (
    BooleanConfig,
    CategoricalConfig,
    ColumnConfig,
    DatetimeConfig,
    IdConfig,
    ListConfig,
    NumericConfig,
    PreprocessConfig,
    TextConfig,
)
from pipeline.preprocess.raw import Mask, Typed, moments, spoken

Rule = Literal[
    "wrong_type",
    "no_value",
    "too_many_missing",
    "not_allowed",
    "not_unique",
    "out_of_range",
    "above_other",
]
"""In the order in which a column is held against them."""

_KINDS: dict[type, str] = {
    NumericConfig: "a number",
    BooleanConfig: "a truth value",
    DatetimeConfig: "a date in ISO 8601 or in its format",
    CategoricalConfig: "a word or a code",
    TextConfig: "text",
    ListConfig: "a list of words",
    IdConfig: "a word or a code",
}


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


def check(
    typed: Typed, columns: Mapping[str, ColumnConfig], label: str, rules: PreprocessConfig
) -> None:
    """Holds the working table against its schema.

    Args:
        typed: The table.
        columns: Declared columns.
        label: Raw name of the label, for messages.
        rules: What is an error and what is repaired later; how many rows to show.

    Raises:
        DataError: One or more columns break their rules; every rule that is broken is named with
            the number of rows and some of them.
        ConfigError: `at_most` names no column of the same kind.
    """
    require_relations(columns)
    if broken := breaches(typed, columns, rules):
        told = [told_of(one, typed, label, rules.shown_rows) for one in broken]
        raise explained(told, touched_rows(broken), len(typed.raw))


def require_relations(columns: Mapping[str, ColumnConfig]) -> None:
    """Raises a ConfigError where `at_most` names no declared column of the same kind."""
    for name, how in columns.items():
        other = how.at_most if isinstance(how, NumericConfig | DatetimeConfig) else None
        if other is None:
            continue
        alike = [one for one, its in columns.items() if type(its) is type(how) and one != name]
        if other not in alike:
            near = nearest(other, alike)
            raise ConfigError(
                f"config key 'data.columns.{name}.at_most' names '{other}'",
                expected=f"another {how.kind} column: {', '.join(alike[:40]) or 'there is none'}",
                remedy=f"did you mean {' or '.join(near)}?" if near else "remove at_most",
            )


def breaches(
    typed: Typed, columns: Mapping[str, ColumnConfig], rules: PreprocessConfig
) -> list[Breach]:
    """Every rule that the working table breaks, column by column; arguments as for `check`."""
    checks: dict[str, list[pa.Check]] = {str(name): [] for name in typed.frame.columns}
    for name, found in checks.items():
        how = columns.get(name)
        if rules.wrong_type == "error" and name in typed.wrong:
            found.append(_right_kind(typed.wrong[name], how))
        if how is not None:
            found.extend(_column_checks(how, rules))
            found.extend(_relations(how, typed.frame))
    schema = pa.DataFrameSchema(
        {name: pa.Column(checks=found, nullable=True) for name, found in checks.items()},
        unique_column_names=True,
    )
    kinds: dict[tuple[str, str], Any] = {
        (name, str(one.error)): one.name for name, found in checks.items() for one in found
    }
    try:
        schema.validate(typed.frame, lazy=True)
    except SchemaErrors as broken:
        return _listed(broken.failure_cases, kinds)
    return []


def _listed(cases: pd.DataFrame, kinds: Mapping[tuple[str, str], Rule]) -> list[Breach]:
    found = []
    for key, broken in cases.groupby(["column", "check"], sort=False):
        column, said = map(str, key)
        rows = np.sort(broken["index"].dropna().to_numpy(dtype=np.int64))
        found.append(Breach(column, kinds[column, said], said, rows))
    return found


def _right_kind(wrong: Mask, how: ColumnConfig | None) -> pa.Check:
    meaning = _KINDS.get(type(how), "of the kind that label and split need")
    return _rule(
        "wrong_type", f"is {meaning}", lambda values: pd.Series(~wrong, index=values.index)
    )


def _rule(rule: Rule, said: str, holds: Any) -> pa.Check:
    # pandera hides missing values from a check unless told otherwise.
    return pa.Check(holds, name=rule, error=said, ignore_na=False)


def _column_checks(how: ColumnConfig, rules: PreprocessConfig) -> Iterator[pa.Check]:
    yield _rule("no_value", "has a value in some row", lambda values: not _missing(values).all())
    if how.max_missing_fraction < 1:
        most = how.max_missing_fraction
        yield _rule(
            "too_many_missing",
            f"misses at most {most:.4g} of its values",
            lambda values: bool(_missing(values).mean() <= most),
        )
    if isinstance(how, CategoricalConfig) and how.allowed:
        allowed = ("", *how.allowed)
        yield _rule(
            "not_allowed",
            f"is one of {_shortened(how.allowed)}",
            lambda values: values.isin(allowed),
        )
    if isinstance(how, IdConfig) and how.unique:
        yield _rule(
            "not_unique",
            "stands in one row only",
            lambda values: _missing(values) | ~values.duplicated(keep=False),
        )
    if isinstance(how, NumericConfig) and how.range and rules.out_of_range == "error":
        low, high = how.range
        if low is not None:
            yield _rule("out_of_range", f"is at least {low:g}", lambda v: v.isna() | (v >= low))
        if high is not None:
            yield _rule("out_of_range", f"is at most {high:g}", lambda v: v.isna() | (v <= high))


def _relations(how: ColumnConfig, frame: pd.DataFrame) -> Iterator[pa.Check]:
    """What a column must be in comparison with another; missing values break nothing."""
    if not isinstance(how, NumericConfig | DatetimeConfig) or how.at_most not in frame:
        return
    dated = isinstance(how, DatetimeConfig)
    read = moments if dated else np.asarray
    other = read(frame[how.at_most])
    said = f"is {'not later than' if dated else 'at most'} '{how.at_most}'"
    yield _rule(
        "above_other",
        said,
        lambda values: pd.Series(~(read(values) > other), index=values.index),
    )


def _shortened(words: Sequence[str], most: int = 20) -> str:
    more = f" and {len(words) - most:,} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def _missing(values: pd.Series[Any]) -> pd.Series[bool]:
    return values.isna() if values.dtype.kind == "f" else values == ""


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


def told_of(one: Breach, typed: Typed, label: str, limit: int, offset: int = 0) -> Told:
    """Tells of a breach; `offset` is the number of the table's first row, from 0."""
    name = spoken(one.column, label)
    if not len(one.rows):
        share = f"{_missing(typed.frame[one.column]).mean():.1%} missing"
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
    return [f"row {row + 1 + offset}: {value!r}" for row, value in zip(first, shown, strict=True)]
