"""The schema check: the whole table against what the config says of each column, at once.

What a rule may repair (`preprocess.wrong_type`, `preprocess.out_of_range`) is no breach here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.preprocess.check_breaches import (
    Breach,
    Rule,
    explained,
    told_of,
    touched_rows,
)
from pipeline.preprocess.config import (
    BooleanConfig,
    CategoricalConfig,
    ColumnConfig,
    DatetimeConfig,
    GroupConfig,
    IdConfig,
    LatitudeConfig,
    ListConfig,
    LongitudeConfig,
    NumericConfig,
    PreprocessConfig,
    TargetConfig,
    TextConfig,
    WeightConfig,
    possible_range,
)
from pipeline.preprocess.raw import Typed
from pipeline.preprocess.raw_values import Mask, moments

_FIRST_ROWS = 1000
UNIQUE = "stands in one row only"
_KINDS: dict[type, str] = {
    NumericConfig: "a number",
    BooleanConfig: "a truth value",
    DatetimeConfig: "a date in ISO 8601 or in its format",
    CategoricalConfig: "a word or a code",
    TextConfig: "text",
    ListConfig: "a list of words, none with the separator in it",
    LatitudeConfig: "a number of degrees",
    LongitudeConfig: "a number of degrees",
    TargetConfig: "a word or a code",
    IdConfig: "a word or a code",
    GroupConfig: "a word or a code",
    WeightConfig: "a number",
}


@dataclass(frozen=True)
class Holds:
    """What should hold in a column.

    Attributes:
        rule: Which rule.
        said: The rule for people.
        test: Says of each value, or of the whole column, whether it holds.
    """

    rule: Rule
    said: str
    test: Callable[[pd.Series[Any]], Any]


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
    """
    both = repairs_types(rules)
    if broken := breaches(typed, columns, rules, wrong_is_missing=both):
        told = [told_of(one, typed, label, rules.shown_rows, wrong_too=both) for one in broken]
        raise explained(told, touched_rows(broken), len(typed.raw))


def repairs_types(rules: PreprocessConfig) -> bool:
    """Whether a value of another kind is no error by itself, but is taken for a missing one."""
    return rules.wrong_type != "error"


def breaches(
    typed: Typed,
    columns: Mapping[str, ColumnConfig],
    rules: PreprocessConfig,
    *,
    wrong_is_missing: bool,
) -> list[Breach]:
    """Every rule that the working table breaks, column by column; arguments as for `check`.

    Args:
        typed: The table.
        columns: Declared columns.
        rules: What is an error.
        wrong_is_missing: Whether rules about missing values take values of another kind for such.
            Where those are errors by themselves it would tell of each twice.
    """
    nothing = np.zeros(len(typed.frame), np.bool_)
    checks: dict[str, list[Holds]] = {str(name): [] for name in typed.frame.columns}
    for name, found in checks.items():
        how = columns.get(name)
        if rules.wrong_type == "error" and name in typed.wrong:
            found.append(_right_kind(typed.wrong[name], how))
        if how is not None:
            told = nothing if wrong_is_missing else typed.wrong.get(name, nothing)
            found.extend(_column_checks(how, rules, told))
            found.extend(_relations(how, typed.frame))
    broken = {
        name: [one for one in found if not np.all(one.test(typed.frame[name]))]
        for name, found in checks.items()
    }
    # pandera takes seconds to import, and only what is broken needs to be told of.
    return _told_by_pandera(typed.frame, broken) if any(broken.values()) else []


def _told_by_pandera(frame: pd.DataFrame, broken: Mapping[str, list[Holds]]) -> list[Breach]:
    import pandera.pandas as pa
    from pandera.errors import SchemaErrors

    schema = pa.DataFrameSchema(
        {
            # pandera hides missing values from a check unless told otherwise.
            name: pa.Column(
                checks=[
                    pa.Check(one.test, name=one.rule, error=one.said, ignore_na=False)
                    for one in found
                ],
                nullable=True,
            )
            for name, found in broken.items()
        },
        unique_column_names=True,
    )
    kinds = {(name, one.said): one.rule for name, found in broken.items() for one in found}
    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as error:
        return _listed(error.failure_cases, kinds)
    return []


def _listed(cases: pd.DataFrame, kinds: Mapping[tuple[str, str], Rule]) -> list[Breach]:
    found = []
    for key, broken in cases.groupby(["column", "check"], sort=False):
        column, said = map(str, key)
        rows = np.sort(broken["index"].dropna().to_numpy(dtype=np.int64))
        found.append(Breach(column, kinds[column, said], said, rows))
    return found


def _right_kind(wrong: Mask, how: ColumnConfig | None) -> Holds:
    meaning = _KINDS.get(type(how), "of the kind that label and split need")
    return Holds(
        "wrong_type", f"is {meaning}", lambda values: pd.Series(~wrong, index=values.index)
    )


def _column_checks(how: ColumnConfig, rules: PreprocessConfig, told: Mask) -> Iterator[Holds]:
    """The rules of one column; rows that are `told` of already are not missing."""
    yield Holds("no_value", "has a value in some row", lambda v: bool(told.any()) or _has_some(v))
    if how.max_missing_fraction < 1:
        most = how.max_missing_fraction
        yield Holds(
            "too_many_missing",
            f"misses at most {most:.4g} of its values",
            lambda values: bool((_missing(values) & ~told).mean() <= most),
        )
    if isinstance(how, CategoricalConfig) and how.allowed:
        allowed = ("", *how.allowed)
        yield Holds(
            "not_allowed",
            f"is one of {_shortened(how.allowed)}",
            lambda values: values.isin(allowed),
        )
    if isinstance(how, IdConfig) and how.unique:
        yield Holds(
            "not_unique",
            UNIQUE,
            lambda values: _missing(values) | ~values.duplicated(keep=False),
        )
    if isinstance(how, WeightConfig):
        said = "is a weight in every row, 0 or more"
        yield Holds("no_weight", said, lambda v: pd.Series((v >= 0) | told, v.index))
    if (bounds := possible_range(how)) and rules.out_of_range == "error":
        low, high = bounds
        if low is not None:
            yield Holds("out_of_range", f"is at least {low:g}", lambda v: v.isna() | (v >= low))
        if high is not None:
            yield Holds("out_of_range", f"is at most {high:g}", lambda v: v.isna() | (v <= high))


def _relations(how: ColumnConfig, frame: pd.DataFrame) -> Iterator[Holds]:
    """What a column must be in comparison with another; missing values break nothing."""
    if not isinstance(how, NumericConfig | DatetimeConfig) or how.at_most not in frame:
        return
    dated = isinstance(how, DatetimeConfig)
    read = moments if dated else np.asarray
    other = read(frame[how.at_most])
    said = f"is {'not later than' if dated else 'at most'} '{how.at_most}'"
    yield Holds(
        "above_other",
        said,
        lambda values: pd.Series(~(read(values) > other), index=values.index),
    )


def _shortened(words: Sequence[str], most: int = 20) -> str:
    more = f" and {len(words) - most:,} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def _has_some(values: pd.Series[Any]) -> bool:
    # The first rows nearly always say so.
    return not (_missing(values.iloc[:_FIRST_ROWS]).all() and _missing(values).all())


def _missing(values: pd.Series[Any]) -> pd.Series[bool]:
    return values.isna() if values.dtype.kind == "f" else values == ""
