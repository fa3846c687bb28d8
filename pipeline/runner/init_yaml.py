"""A data set's YAML as text: plain values, quoted where YAML or OmegaConf would misread them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

_PLAIN = re.compile(r"[^\W\d]\w*( \w+)*")
_TAKEN = frozenset("true false yes no on off null none y n t f nan inf".upper().split(" "))
_WIDEST_COMMENT_COLUMN = 60


def scalar(value: object) -> str:
    """One value in flow style.

    Text is quoted unless it is an ordinary word; `${` gets a backslash, or OmegaConf would take
    it for a reference to another key.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    if not isinstance(value, str):
        return str(yaml.safe_dump(value)).splitlines()[0]
    if _PLAIN.fullmatch(value) and value.upper() not in _TAKEN:
        return value
    return _quoted(re.sub(r"(\\*)\$\{", lambda match: match[1] * 2 + r"\${", value))


def key(name: str) -> str:
    """A key: like a scalar, but nothing in it is a reference."""
    return name if _PLAIN.fullmatch(name) and name.upper() not in _TAKEN else _quoted(name)


def _quoted(text: str) -> str:
    dumped: str = yaml.safe_dump(text, default_style='"', allow_unicode=True, width=10**9)
    return dumped.strip()


def flow(value: object) -> str:
    """Any nested value on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key(str(k))}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    return scalar(value)


def block(values: Mapping[str, Any], indent: int = 2) -> list[str]:
    """One line for each key, nested values in flow style."""
    return [f"{' ' * indent}{key(name)}: {flow(value)}" for name, value in values.items()]


def beside(lines: Sequence[tuple[str, str]]) -> list[str]:
    """Lines with their comments in one column, as far as that stays readable."""
    width = max((len(line) for line, note in lines if note), default=0)
    column = min(width, _WIDEST_COMMENT_COLUMN)
    return [f"{line:<{column}}  # {comment(note)}" if note else line for line, note in lines]


def comment(text: str) -> str:
    """Text that stays on one comment line whatever it holds."""
    return "".join(c if c.isprintable() else " " for c in text)
