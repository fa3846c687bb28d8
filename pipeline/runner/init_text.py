"""The text of configs/data/NAME.yaml: what was guessed, and why, line by line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.runner.init_guess import Guess
from pipeline.runner.init_label import LabelGuess
from pipeline.runner.init_yaml import beside, block, comment, flow, key


@dataclass(frozen=True)
class Findings:
    """All that was guessed about a table.

    Attributes:
        name: Name of the data set.
        path: Where the table is, as the config says it.
        rows: Rows looked at.
        options: Keys of the source beside kind and path.
        columns: Guesses by column, in the table's order, without the label.
        label_column: The label's column.
        label: The label's guess.
        split: Keys of the split.
    """

    name: str
    path: str
    rows: int
    options: Mapping[str, Any]
    columns: Mapping[str, Guess]
    label_column: str
    label: LabelGuess
    split: Mapping[str, Any]


def data_yaml(found: Findings) -> str:
    """The whole file."""
    label = {"column": found.label_column, "task": found.label.task, **found.label.options}
    lines = [
        f"# {comment(found.path)}: {found.rows:,} rows. Guessed by `pipeline init`: correct it.",
        f"#   pipeline run data={found.name}",
        "",
        f"name: {found.name}",
        "",
        "# Where the table is, and how to read it (docs/data.md).",
        "source:",
        *block({"kind": "file", "path": found.path, **found.options}),
        "",
        "joins: {}",
        "",
        "# Every raw column that takes part; a column that is not named here is ignored.",
        "# Kinds: numeric, categorical, boolean, datetime, id (kept, no feature), and others in",
        "# docs/data.md. Leave out what becomes known only after the moment of prediction.",
        *_columns(found.columns),
        "",
        "crosses: {}",
        "",
        *(f"# {comment(note)}" for note in found.label.notes),
        "label:",
        *block(label),
        "",
        *_split(found.split),
    ]
    return "\n".join(lines) + "\n"


def _columns(columns: Mapping[str, Guess]) -> list[str]:
    taken = [
        (f"  {key(name)}: {flow(guess.keys)}", _note(guess))
        for name, guess in columns.items()
        if guess.taken
    ]
    suspects = [
        (f"#  {key(name)}: {flow(guess.keys)}", guess.suspicion)
        for name, guess in columns.items()
        if guess.suspicion
    ]
    out = [
        f"# left out: {comment(name)} ({comment(guess.note)})"
        for name, guess in columns.items()
        if guess.kind is None
    ]
    return ["columns:" if taken else "columns: {}", *beside(taken), *beside(suspects), *out]


def _note(guess: Guess) -> str:
    apart = [] if guess.note and guess.note in guess.warning else [guess.note]
    return "; ".join(part for part in (*apart, guess.warning) if part)


def _split(split: Mapping[str, Any]) -> list[str]:
    if split["kind"] == "time":
        column = split["column"]
        why = f"By time, since {comment(str(column))} dates each row: later rows judge the model."
        other = "{kind: random, validation_fraction: 0.15, test_fraction: 0.15, seed: 0}"
        return [f"# {why}", f"# At random instead: {other}", "split:", *block(split)]
    why = "At random. Rows with a date: kind time; several rows of one person or thing: kind hash."
    return [f"# {why}", f"split: {flow(split)}"]
