"""`pipeline data update`: the smallest change of a data set's config that lets new rows pass."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml.comments import CommentedMap

from pipeline.core.artifacts import Artifacts
from pipeline.core.console import say
from pipeline.core.errors import DataError, UsageError
from pipeline.preprocess.config import NumericConfig, PreprocessStageConfig
from pipeline.preprocess.contract_records import Anomaly
from pipeline.preprocess.raw_values import typed_values
from pipeline.runner.data_file import data_file, load, plain, publish_data_file, render
from pipeline.runner.data_rows import (
    NewRows,
    data_params,
    new_rows,
    preprocess_config,
    training_rows,
)
from pipeline.runner.init_columns import guess_column
from pipeline.runner.init_rules import LONGEST_ALLOWED

_OF_ANOTHER_KIND = 0.5
"""With fewer values of another kind than this share, a column keeps its kind."""


@dataclass(frozen=True)
class Change:
    """One change of a column's entry.

    Attributes:
        column: The column.
        why: What about the rows asks for it.
        set: Keys of the entry that get other values; None as a value removes the key.
        entry: Takes the whole entry's place; None leaves it.
        remove: Whether the column goes.
    """

    column: str
    why: str
    set: dict[str, Any]
    entry: dict[str, Any] | None = None
    remove: bool = False


def update_file(path: str, root: Path, *, data: str | None, write: bool) -> int:
    """Shows, and with `write` makes, the change that lets the rows of a file pass.

    Args:
        path: The new rows.
        root: The project folder.
        data: Name of the data set; None takes that of the last run.
        write: Whether configs/data/NAME.yaml is written.

    Returns:
        The exit code, 0.

    Raises:
        UsageError: The data set has no file of its own under configs/data.
        DataError: The file cannot be read, or has none of the data set's columns.
        ConfigError: The changed config would not compose; nothing was written.
    """
    params = data_params(root, data)
    name = str(params["data"]["name"])
    target = data_file(root, name)
    if not target.is_file():
        raise UsageError(f"there is no {target}", expected="a data set with a file of its own")
    config = preprocess_config(params)
    with new_rows(path, params, root) as new:
        found = new.anomalies(config, training_rows(Artifacts(root), config))
        changes = list(proposals(found, new, config))
    before = target.read_text(encoding="utf-8")
    after = changed(before, changes)
    _tell(changes, found)
    if after == before:
        say(f"{target.relative_to(root)} stays as it is")
        return 0
    say(_difference(before, after, str(target.relative_to(root))))
    if write:
        publish_data_file(target, after, root, name)
        say(f"wrote {target.relative_to(root)}")
    else:
        say("nothing was written; read it through, then pass --write")
    return 0


def proposals(
    found: tuple[Anomaly, ...], rows: NewRows, config: PreprocessStageConfig
) -> Iterator[Change]:
    """What would have to be declared otherwise, column by column."""
    names = rows.names
    if not set(config.columns) & set(names):
        raise DataError(
            f"the rows have none of the declared columns: {', '.join(names[:5])[:200]}",
            expected=f"some of {', '.join(list(config.columns)[:40])}",
            remedy="name another file or another --data, or set delimiter in the source",
        )
    wrong = {one.column for one in found if one.kind == "wrong_type"}
    for one in found:
        if one.column is None or one.column == config.label.column:
            continue
        if one.kind == "wrong_type" and one.fraction < _OF_ANOTHER_KIND:
            continue  # it is the values that are wrong, not the config
        if one.kind == "too_many_missing" and one.column in wrong:
            continue  # values of another kind count as missing as well
        yield from _proposals(one, one.column, rows, config)


def _proposals(
    one: Anomaly, name: str, rows: NewRows, config: PreprocessStageConfig
) -> Iterator[Change]:
    match one.kind:
        case "out_of_range" if isinstance(config.columns[name], NumericConfig):
            yield Change(name, one.text, {"range": _wider(rows.column(name), config.columns[name])})
        case "not_allowed":
            how: Any = config.columns[name]
            words = pd.Series(typed_values(rows.column(name), how)[0])
            new = words[(words != "") & ~words.isin(how.allowed)].value_counts().index
            if (new.str.len() <= LONGEST_ALLOWED).all():
                yield Change(name, one.text, {"allowed": [*how.allowed, *new]})
        case "too_many_missing":
            share = min(math.ceil(one.fraction * 100) / 100, 1.0)
            yield Change(name, one.text, {"max_missing_fraction": share})
        case "not_unique":
            yield Change(name, one.text, {"unique": None})
        case "above_other":
            yield Change(name, one.text, {"at_most": None})
        case "missing_column" if one.severity == "error":
            yield Change(name, one.text, {}, remove=True)
        case "wrong_type" | "new_column":
            guess = guess_column(name, rows.column(name), text_file=False)
            if guess.taken:
                yield Change(name, one.text, {}, entry=guess.keys)


def _wider(values: pd.Series[Any], how: Any) -> list[float | None]:
    low, high = how.range
    numbers, _ = typed_values(values, NumericConfig(kind="numeric"))
    seen = pd.Series(numbers).dropna()
    return [
        None if low is None else min(low, float(seen.min())),
        None if high is None else max(high, float(seen.max())),
    ]


def changed(text: str, changes: list[Change]) -> str:
    """The YAML text with `changes` made; comments and everything else stay."""
    document = load(text)
    columns = document["columns"]
    for change in changes:
        if change.remove:
            columns.pop(change.column, None)
            _drop_crosses(document, change.column)
        elif change.entry is not None:
            columns[plain(change.column)] = plain(change.entry)
        elif change.column in columns:
            _set(columns[change.column], change.set)
    return render(document)


def _set(entry: CommentedMap, keys: dict[str, Any]) -> None:
    for key, value in keys.items():
        if value is None:
            entry.pop(key, None)
        else:
            entry[key] = plain(value)


def _drop_crosses(document: CommentedMap, column: str) -> None:
    """Removes the crosses of a column that goes; they may name COLUMN or COLUMN.part."""
    crosses = document.get("crosses") or {}
    for name, cross in list(crosses.items()):
        if any(part == column or part.startswith(f"{column}.") for part in cross["of"]):
            del crosses[name]


def _tell(changes: list[Change], found: tuple[Anomaly, ...]) -> None:
    for change in changes:
        say(f"'{change.column}': {change.why}")
    touched = {change.column for change in changes}
    for one in found:
        if one.column not in touched:
            where = "" if one.column is None else f"{one.column!r}: "
            say(f"{where}{one.text} ({one.kind}: no change of the config answers it)")


def _difference(before: str, after: str, name: str) -> str:
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), name, f"{name} (proposed)", n=1, lineterm=""
    )
    return "\n".join(lines)
