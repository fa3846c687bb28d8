"""Every error a user can meet, and the exit code each one ends the program with.

PipelineError            1   a stage could not do its work
├── DataError            1   the data is not what the config says it is
├── BusyError            1   another process holds what this one needs
├── UsageError           2   a command was called wrongly
│   └── ConfigError      2   a config key, group, type or range is wrong
└── GateRefused          3   the model did not meet its thresholds

An error says what came, what was expected and what to do, in that order.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class PipelineError(Exception):
    """A stage could not do its work; printed without a traceback.

    Args:
        came: What was found, one sentence.
        expected: What should have been there; may be empty where it goes without saying.
        remedy: What to do about it, as an instruction.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, came: str, expected: str = "", remedy: str = "") -> None:
        super().__init__(came)
        self.came = came
        self.expected = expected
        self.remedy = remedy

    def __str__(self) -> str:
        """The whole message, one line for each of came, expected and remedy."""
        lines = [self.came]
        if self.expected:
            lines.append(f"  expected: {self.expected}")
        if self.remedy:
            lines.append(f"  to do:    {self.remedy}")
        return "\n".join(lines)


class DataError(PipelineError):
    """The data is not what the config says it is."""


class BusyError(PipelineError):
    """Another process holds a lock, a port or a file that this one needs."""


class UsageError(PipelineError):
    """A command was called wrongly."""

    exit_code = 2


class ConfigError(UsageError):
    """A config key, group, type or range is wrong."""


class GateRefused(PipelineError):  # noqa: N818  a refusal is no error
    """The model did not meet its thresholds, or has no passing verdict."""

    exit_code = 3


def wrong_name(key: str, name: str, known: Iterable[str], what: str, remedy: str) -> ConfigError:
    """The error of a config value that names what is not there.

    Args:
        key: Dotted key of the value.
        name: What it names.
        known: What it could name.
        what: What these are, e.g. "a declared column".
        remedy: What to do where no known name is like it.
    """
    choices = list(known)
    near = nearest(name, choices)
    return ConfigError(
        f"config key '{key}' names '{name}'",
        expected=f"{what}: {', '.join(choices[:40]) or 'there is none'}",
        remedy=f"did you mean {' or '.join(near)}?" if near else remedy,
    )


def nearest(word: str, choices: Iterable[str], limit: int = 3) -> list[str]:
    """Returns up to `limit` of `choices` that look most like `word`, best first.

    Upper and lower case are alike, and so are blanks around. A choice whose last dotted part equals
    the word's is near too: `learning_rate` finds `train.optimizer.learning_rate`.
    """
    known = list(choices)
    alike: dict[str, list[str]] = {}
    for choice in known:
        alike.setdefault(choice.strip().casefold(), []).append(choice)
    found = difflib.get_close_matches(word.strip().casefold(), alike, n=limit, cutoff=0.6)
    near = [choice for one in found for choice in alike[one]]
    leaf = word.rsplit(".", 1)[-1]
    leaves = {choice.rsplit(".", 1)[-1] for choice in known}
    for name in difflib.get_close_matches(leaf, leaves, n=limit, cutoff=0.75):
        near += [c for c in known if c.rsplit(".", 1)[-1] == name and c not in near]
    return near[:limit]
