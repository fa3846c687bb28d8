"""The schema check over batches: rules of rows at once, rules of whole columns at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import get_args

from pipeline.preprocess.check import UNIQUE, breaches
from pipeline.preprocess.check_breaches import Rule, Told, explained, told_of, touched_rows
from pipeline.preprocess.clean import without_value
from pipeline.preprocess.config import ColumnConfig, IdConfig, PreprocessStageConfig
from pipeline.preprocess.raw import Typed

_ORDER = get_args(Rule)


class BatchCheck:
    """Holds a table against its schema, one batch after the other; mergeable.

    Args:
        config: Label, rules and how many rows to show.
        columns: Declared columns.
        wrong_is_missing: As for `breaches`.
    """

    def __init__(
        self,
        config: PreprocessStageConfig,
        columns: Mapping[str, ColumnConfig],
        *,
        wrong_is_missing: bool,
    ) -> None:
        self._config = config
        self._wrong_is_missing = wrong_is_missing
        self._columns = columns
        self._of_rows = {name: _of_rows(how) for name, how in columns.items()}
        self._told: dict[tuple[str, Rule, str], Told] = {}
        self._order: list[str] = []
        self._gone: Counter[str] = Counter()
        self._rows = 0
        self._touched = 0

    def look(self, typed: Typed, offset: int) -> None:
        """Checks a batch whose first row has the number `offset` in the table, from 0."""
        rules = self._config.preprocess
        self._order = [str(name) for name in typed.frame.columns]
        self._rows += len(typed.frame)
        for name in self._columns:
            gone = without_value(typed, name, wrong_too=self._wrong_is_missing)
            self._gone[name] += int(gone.sum())
        both = self._wrong_is_missing
        broken = breaches(typed, self._of_rows, rules, wrong_is_missing=both)
        found = [one for one in broken if one.rule != "no_value"]
        self._touched += touched_rows(found)
        for one in found:
            self._tell(
                one.column,
                one.rule,
                told_of(one, typed, self._config.label.column, rules.shown_rows, offset),
            )

    def merge(self, other: BatchCheck) -> None:
        """Adds what `other` has seen of later rows."""
        self._order = self._order or other._order
        self._rows += other._rows
        self._touched += other._touched
        self._gone.update(other._gone)
        for (column, rule, _), told in other._told.items():
            self._tell(column, rule, told)

    def repeated(self, column: str, rows: int, shown: Sequence[str]) -> None:
        """Notes that `rows` rows of a unique id are not the only ones with their value."""
        self._touched += rows
        self._tell(column, "not_unique", Told(column, UNIQUE, rows, tuple(shown)))

    def refuse(self) -> None:
        """Raises a DataError where a rule was broken in any batch."""
        if found := [told for _, _, told in self.found()]:
            raise explained(found, self._touched, self._rows)

    def found(self) -> list[tuple[str, Rule, Told]]:
        """Every rule that was broken, by the column of the working table."""
        told = dict(self._told)
        for name, how in self._columns.items():
            told |= {(name, rule, one.said): one for rule, one in self._whole(name, how)}
        order = {name: place for place, name in enumerate(self._order)}
        ordered = sorted(told, key=lambda key: (order[key[0]], _ORDER.index(key[1])))
        return [(column, rule, told[column, rule, said]) for column, rule, said in ordered]

    def gone(self, column: str) -> int:
        """Rows without a value."""
        return self._gone[column]

    def _tell(self, column: str, rule: Rule, new: Told) -> None:
        key = (column, rule, new.said)
        self._told[key] = _added(self._told.get(key), new, self._config.preprocess.shown_rows)

    def _whole(self, name: str, how: ColumnConfig) -> Iterator[tuple[Rule, Told]]:
        share = self._gone[name] / max(self._rows, 1)
        shown = (f"{share:.1%} missing",)
        if self._gone[name] == self._rows:
            yield "no_value", Told(name, "has a value in some row", None, shown)
        if share > how.max_missing_fraction:
            said = f"misses at most {how.max_missing_fraction:.4g} of its values"
            yield "too_many_missing", Told(name, said, None, shown)


def _of_rows(how: ColumnConfig) -> ColumnConfig:
    """The rules of `how` that look at each row by itself."""
    loose = replace(how, max_missing_fraction=1.0)
    return replace(loose, unique=False) if isinstance(loose, IdConfig) else loose


def _added(old: Told | None, new: Told, limit: int) -> Told:
    if old is None:
        return new
    rows = (old.rows or 0) + (new.rows or 0)
    return replace(new, rows=rows, shown=(*old.shown, *new.shown)[:limit])
