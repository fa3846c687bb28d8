"""The cleaning rules, in order; each says how many rows it touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from pipeline.core.errors import DataError
from pipeline.core.records import LABEL
from pipeline.preprocess.config import ColumnConfig, PreprocessConfig, possible_range
from pipeline.preprocess.profile_records import CleaningStep
from pipeline.preprocess.raw import SPLIT_KEY, Typed, spoken
from pipeline.preprocess.raw_values import Mask


@dataclass(frozen=True)
class Done:
    """What one rule did.

    Attributes:
        rule: Name of the rule.
        rows: Rows it touched.
        note: What it did to them.
        columns: The raw columns that made it; empty where that says nothing.
    """

    rule: str
    rows: int
    note: str
    columns: tuple[str, ...] = ()

    @property
    def step(self) -> CleaningStep:
        """The same for people."""
        named = f" ({', '.join(self.columns)})" if self.columns else ""
        return CleaningStep(rule=self.rule, rows=self.rows, note=self.note + named)


@dataclass
class Cleaning:
    """A table being cleaned, and what was done to it.

    Attributes:
        frame: The working table; a rule replaces it, none changes it in place.
        done: What each rule did so far.
    """

    frame: pd.DataFrame
    done: list[Done] = field(default_factory=list)

    @property
    def steps(self) -> list[CleaningStep]:
        """What each rule did, for people."""
        return [one.step for one in self.done]

    def drop(self, rule: str, rows: Mask, note: str, columns: Sequence[str] = ()) -> None:
        """Drops `rows` and notes how many they were."""
        self.done.append(Done(rule, int(rows.sum()), note, tuple(columns)))
        if rows.any():
            self.frame = self.frame[~rows]

    def blank(self, rule: str, cells: Mapping[str, Mask], note: str) -> None:
        """Makes `cells` of number columns missing and notes how many rows that touched."""
        touched = np.zeros(len(self.frame), np.bool_)
        replaced = {}
        for name, mask in cells.items():
            touched |= mask
            replaced[name] = self.frame[name].mask(mask)
        self.done.append(Done(rule, int(touched.sum()), note, tuple(cells)))
        self.frame = self.frame.assign(**replaced)


def clean(
    typed: Typed, columns: Mapping[str, ColumnConfig], label: str, rules: PreprocessConfig
) -> Cleaning:
    """Applies every rule of the config.

    Args:
        typed: The checked table.
        columns: Declared columns.
        label: Raw name of the label, for messages.
        rules: What each rule does.

    Raises:
        DataError: Labels are missing where that is an error, or no row is left.
    """
    cleaning = clean_rows(typed, columns, label, rules)
    if rules.duplicates == "drop":
        cleaning.drop("duplicates", repeated(cleaning.frame), DUPLICATES_NOTE)
    refuse_no_rows(len(cleaning.frame), cleaning.done)
    return cleaning


DUPLICATES_NOTE = "dropped rows equal to an earlier one in every column"


def clean_rows(
    typed: Typed, columns: Mapping[str, ColumnConfig], label: str, rules: PreprocessConfig
) -> Cleaning:
    """Applies the rules that look at each row by itself; arguments as for `clean`.

    Raises:
        DataError: Labels are missing where that is an error.
    """
    cleaning = Cleaning(typed.frame)
    _wrong_types(cleaning, typed.wrong, label, rules)
    _impossible_values(cleaning, columns, rules)
    _missing_labels(cleaning, label, rules)
    _missing_split_keys(cleaning)
    return cleaning


def refuse_no_rows(rows: int, done: Sequence[Done]) -> None:
    """Raises a DataError where cleaning has left nothing."""
    if not rows:
        counted = "; ".join(f"{one.rule}: {one.rows:,}" for one in done if one.rows)
        raise DataError(
            f"no row is left after cleaning ({counted})",
            expected="rows with a label and possible values",
            remedy="look at the rules under preprocess and the ranges under data.columns",
        )


def without_value(typed: Typed, name: str, *, wrong_too: bool) -> Mask:
    """Which rows miss a value of a column; with `wrong_too` also those that hold another kind."""
    gone = missing(typed.frame[name])
    return gone if wrong_too or name not in typed.wrong else gone & ~typed.wrong[name]


def repeated(frame: pd.DataFrame) -> Mask:
    """Which rows equal an earlier one in every column; missing equals missing.

    Hashing the numbers rules out almost every row cheaply; only the rest is compared in full.
    """
    suspects = _alike_in_numbers(frame)
    copies = np.zeros(len(frame), np.bool_)
    if suspects.any():
        copies[suspects] = frame[suspects].duplicated().to_numpy()
    return copies


def _alike_in_numbers(frame: pd.DataFrame) -> Mask:
    keys = np.zeros(len(frame), np.uint64)
    for name in frame.columns:
        if frame[name].dtype.kind == "f":
            # Adding zero turns -0.0 into 0.0. Odd multiplier and shift: as in splitmix64.
            bits = (frame[name].to_numpy() + 0.0).view(np.uint64)
            keys = (keys ^ bits) * np.uint64(0x9E3779B97F4A7C15)
            keys ^= keys >> np.uint64(29)
    return pd.Series(keys).duplicated(keep=False).to_numpy()


def _wrong_types(
    cleaning: Cleaning, wrong: Mapping[str, Mask], label: str, rules: PreprocessConfig
) -> None:
    touched = np.any([*wrong.values(), np.zeros(len(cleaning.frame), np.bool_)], axis=0)
    named = [spoken(name, label) for name in wrong]
    if rules.wrong_type == "drop":
        cleaning.drop("wrong_type", touched, "dropped rows with values of another kind", named)
    else:
        # They are missing already (see `Typed`).
        note = "values of another kind became missing"
        cleaning.done.append(Done("wrong_type", int(touched.sum()), note, tuple(named)))


def _impossible_values(
    cleaning: Cleaning, columns: Mapping[str, ColumnConfig], rules: PreprocessConfig
) -> None:
    cells = {
        name: outside
        for name, how in columns.items()
        if (bounds := possible_range(how)) and name in cleaning.frame
        if (outside := _outside(cleaning.frame[name].to_numpy(), bounds)).any()
    }
    if rules.out_of_range == "drop":
        touched = np.any([*cells.values(), np.zeros(len(cleaning.frame), np.bool_)], axis=0)
        cleaning.drop("out_of_range", touched, "dropped rows with impossible numbers", list(cells))
    else:
        cleaning.blank("out_of_range", cells, "impossible numbers became missing")


def _outside(values: np.ndarray, bounds: tuple[float | None, float | None]) -> Mask:
    low, high = bounds
    outside = np.zeros(len(values), np.bool_)
    if low is not None:
        outside |= values < low
    if high is not None:
        outside |= values > high
    return outside


def missing(values: pd.Series) -> Mask:
    """Which values of a typed column are missing: NaN, or the empty word."""
    gone = values.isna() if values.dtype.kind == "f" else values == ""
    return gone.to_numpy(dtype=np.bool_)


def _missing_labels(cleaning: Cleaning, label: str, rules: PreprocessConfig) -> None:
    gone = missing(cleaning.frame[LABEL])
    if gone.any() and rules.missing_label == "error":
        rows = ", ".join(str(row + 1) for row in cleaning.frame.index[gone][: rules.shown_rows])
        raise DataError(
            f"the label '{label}' is missing in {gone.sum():,} of {len(gone):,} rows (rows {rows})",
            expected="a label in every row",
            remedy="repair the source, or set preprocess.missing_label=drop",
        )
    cleaning.drop("missing_label", gone, "dropped rows without a label", [label])


def _missing_split_keys(cleaning: Cleaning) -> None:
    keys = [name for name in cleaning.frame.columns if str(name).startswith(SPLIT_KEY)]
    if keys:
        gone = np.all([missing(cleaning.frame[name]) for name in keys], axis=0)
        named = [name.removeprefix(SPLIT_KEY) for name in keys]
        cleaning.drop("missing_split_key", gone, "dropped rows that no split can take", named)
