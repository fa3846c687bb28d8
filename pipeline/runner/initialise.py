"""`pipeline init`: looks at a table and writes configs/data/NAME.yaml, ready to run."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.compose.compose import compose
from pipeline.core.artifacts import SOURCES
from pipeline.core.console import progress, say
from pipeline.core.errors import UsageError, nearest
from pipeline.runner.data_file import data_file, publish_data_file
from pipeline.runner.init_columns import guess_column
from pipeline.runner.init_guess import Guess, left_out
from pipeline.runner.init_label import LabelGuess, guess_label, random_split, time_split
from pipeline.runner.init_leaks import giveaways
from pipeline.runner.init_places import with_places
from pipeline.runner.init_rules import with_rules
from pipeline.runner.init_source import SourceTable, source_table
from pipeline.runner.init_text import Findings, data_yaml

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_TAKEN_NAMES = frozenset({"true", "false", "null", "nan", "inf", "none"})


def initialise(
    source: str,
    *,
    label: str,
    name: str | None,
    root: Path,
    force: bool,
    strict: bool = False,
) -> Path:
    """Writes configs/data/NAME.yaml for a table nobody has described yet.

    Args:
        source: The file, or a URL that fsspec can open.
        label: The column to predict.
        name: Name of the data set; None takes the file's.
        root: The project folder.
        force: Whether an existing config is replaced.
        strict: Whether what holds in every row becomes a rule for later rows (see `init_rules`).

    Returns:
        The file written.

    Raises:
        UsageError: No such file or column, a name that cannot be one, or a config that exists.
        DataError: The table cannot be read, or there is nothing to learn from it.
    """
    chosen = _name(source, name)
    target = data_file(root, chosen)
    _require_free(target, force=force)
    rules = compose(root)
    found = look(
        _path(source, root),
        root,
        label=label,
        name=chosen,
        leakage_score=rules["preprocess"]["leakage_score"],
        whole_bytes=rules["ingest"]["stream_above_bytes"],
        strict=strict,
    )
    publish_data_file(target, data_yaml(found), root, chosen)
    _tell(found, target.relative_to(root))
    return target


def look(
    path: str,
    root: Path,
    *,
    label: str,
    name: str,
    leakage_score: float,
    whole_bytes: int,
    strict: bool = False,
) -> Findings:
    """Guesses all that a data set's config says; leaves nothing behind.

    Memory holds a few columns of the table at a time; the rows are on disk meanwhile.

    Args:
        path: The file as the config says it, or a URL.
        root: The project folder.
        label: The column to predict.
        name: Name of the data set.
        leakage_score: `preprocess.leakage_score`; columns that reach it are left out.
        whole_bytes: `ingest.stream_above_bytes`.
        strict: Whether what holds in every row becomes a rule for later rows.

    Raises:
        UsageError: There is no column `label`.
        DataError: The table cannot be read, or there is nothing to learn from it.
    """
    with source_table(path, root, whole_bytes=whole_bytes) as table:
        _require_label(table.names, label)
        guessed = guess_label(label, table.column(label))
        with progress("looking at columns", total=len(table.names) - 1) as advance:
            columns = _guess_columns(table, label, guessed, advance)
        columns |= _suspects(columns, table, guessed, leakage_score)
        columns = with_places(table.column, columns)
        if strict:
            columns = with_rules(table.column, columns)
    return Findings(
        name=name,
        path=path,
        rows=table.rows,
        options=_source_options(table, columns),
        columns=columns,
        label_column=label,
        label=guessed,
        split=time_split(columns, guessed) or random_split(guessed),
    )


def _name(source: str, name: str | None) -> str:
    if name is not None:
        if not _NAME.fullmatch(name) or name.lower() in _TAKEN_NAMES:
            raise UsageError(
                f"'{name}' cannot name a data set",
                expected="letters, digits, _ and -, a letter first",
                remedy="choose another --name",
            )
        return name
    stem = unicodedata.normalize("NFKD", Path(source).name.split(".")[0])
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", stem.encode("ascii", "ignore").decode()).strip("_-")
    named = bool(_NAME.fullmatch(plain)) and plain.lower() not in _TAKEN_NAMES
    return plain if named else f"table_{plain}".rstrip("_")


def _require_free(target: Path, *, force: bool) -> None:
    if target.exists() and not force:
        raise UsageError(
            f"{target} exists already",
            expected="a name that is not taken",
            remedy="choose another --name, or pass --force to replace it",
        )


def _require_label(names: list[str], label: str) -> None:
    if label in names:
        return
    near = nearest(label, names)
    raise UsageError(
        f"the table has no column '{label}'",
        expected="one of " + ", ".join(map(_spoken, names[:40])),
        remedy=f"did you mean {' or '.join(map(_spoken, near))}?"
        if near
        else "choose one of these",
    )


def _spoken(name: str) -> str:
    """A name whose spaces can be seen."""
    return name if name.isidentifier() else repr(name)


def _guess_columns(
    table: SourceTable, label: str, guessed: LabelGuess, advance: Callable[[float, str], None]
) -> dict[str, Guess]:
    classes = set(guessed.values.unique()) if guessed.task != "regression" else set()
    columns: dict[str, Guess] = {}
    for name in table.names:
        if name == label:
            continue
        guess = guess_column(
            name,
            table.column(name),
            text_file=table.text_file,
            zero_led=name in table.zero_led,
        )
        if classes & set(guess.stray_words):
            # These words cannot mean "missing" for one column and a class for the label.
            guess = Guess("categorical", note="numbers and words mixed")
        columns[name] = guess if name.strip() else left_out("a column without a name")
        advance(1, name)
    return columns


def _suspects(
    columns: Mapping[str, Guess], table: SourceTable, label: LabelGuess, bound: float
) -> dict[str, Guess]:
    """The columns that would stop the run as a leak, left out with the reason."""
    suspects: dict[str, Guess] = {}
    for name, score in giveaways(table.column, columns, label, bound).items():
        reason = f"alone predicts the label almost perfectly ({score:.3f}): known only afterwards?"
        warning = f"left out: {reason}"
        suspects[name] = replace(columns[name], suspicion=reason, warning=warning)
    return suspects


def _path(source: str, root: Path) -> str:
    """The path as the config says it: relative to the project where it lies inside.

    Raises:
        UsageError: There is no such file.
    """
    if "://" in source:
        return source
    path = Path(source).resolve()
    if not path.is_file():
        names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        near = nearest(path.name, names)
        raise UsageError(
            f"there is no file {source}",
            expected="a CSV, TSV, Parquet or JSONL file, compressed or not",
            remedy=f"did you mean {' or '.join(near)}?" if near else "",
        )
    inside = path.is_relative_to(root.resolve())
    return path.relative_to(root.resolve()).as_posix() if inside else str(path)


def _source_options(table: SourceTable, columns: Mapping[str, Guess]) -> dict[str, Any]:
    texts = {name: "string" for name, guess in columns.items() if guess.as_text}
    stray = sorted({word for guess in columns.values() for word in guess.stray_words})
    options = dict(table.options)
    if texts:
        options["dtypes"] = texts
    if stray:
        options["missing"] = stray
    return options


def _tell(found: Findings, target: Path) -> None:
    kinds = Counter((guess.taken and guess.kind) or "left out" for guess in found.columns.values())
    counted = ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "no other column"
    label = f"{found.label.task} '{found.label_column}'"
    say(f"wrote {target}: {label}, {counted}; split by {found.split['kind']}")
    for warning in found.label.warnings:
        say(f"  look at '{found.label_column}': {warning}")
    for name, guess in found.columns.items():
        if guess.warning:
            say(f"  look at '{name}': {guess.warning}")
    if "://" not in found.path and not found.path.startswith(f"{SOURCES}/"):
        say(f"  look at {found.path}: DVC sees changes in {SOURCES}/ only")
    say(f"Read it through, then: pipeline run data={found.name}")
