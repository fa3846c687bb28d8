"""Markdown as GitHub and GitLab render it: tables, escaped words, Mermaid charts."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

Axis = tuple[str, float, float]
"""Name, lowest and highest value."""

_LONGEST = 120
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~#$@])")
_CHART_POINTS = 40
_CHART_COLOURS = (
    '%%{init: {"themeVariables": {"xyChart": {"plotColorPalette": "#3f7fbf, #d08a2c"}}}}%%'
)
"""Blue, then orange; the first colour of the standard theme can hardly be seen."""


def words(value: object) -> str:
    """Words that nobody has checked, as one line of plain Markdown text."""
    line = " ".join(str(value).split())
    cut = line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
    # `@` too: a name in the data must not call a person's attention.
    return _SPECIAL.sub(r"\\\1", cut).replace("&", "&amp;")


def code(value: object) -> str:
    """The same as a code span, in which nothing but the backtick is special."""
    return f"`{' '.join(str(value).split())[:_LONGEST].replace('`', chr(39))}`"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: str = "") -> list[str]:
    """A table from cells that are Markdown already.

    Args:
        head: Column titles.
        rows: Cells of each row.
        right: One letter a column, `r` for a column of numbers that stands to the right; those
            of columns that are left out at the end are passed over.
    """
    marks = right.ljust(len(head))[: len(head)]
    rules = ["---:" if mark == "r" else "---" for mark in marks]
    return [f"| {' | '.join(row)} |" for row in (head, rules, *rows)]


def number(value: float | None) -> str:
    """Four digits after the point, fewer for large numbers; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"


def folded(title: str, lines: Sequence[str]) -> list[str]:
    """Lines behind a title that opens on a click."""
    return [f"<details><summary>{title}</summary>", "", *lines, "", "</details>", ""]


def line_chart(title: str, x: Axis, y: Axis, lines: Sequence[Sequence[float]]) -> list[str]:
    """A Mermaid chart of lines whose points stand evenly along the x axis.

    Job summaries show no picture files, but they draw Mermaid.

    Args:
        title: One line above.
        x: The axis along.
        y: The axis up.
        lines: At most 40 values each.
    """
    drawn = [f"    line [{', '.join(f'{value:.4g}' for value in line)}]" for line in lines]
    return [
        "```mermaid",
        _CHART_COLOURS,
        "xychart-beta",
        f"    title {json.dumps(title)}",
        f"    x-axis {json.dumps(x[0])} {x[1]:g} --> {x[2]:g}",
        f"    y-axis {json.dumps(y[0])} {y[1]:.4g} --> {y[2]:.4g}",
        *drawn,
        "```",
    ]


def thinned(values: Sequence[float]) -> list[float]:
    """At most 40 of the values, evenly chosen, the first and the last among them."""
    if len(values) <= _CHART_POINTS:
        return list(values)
    last = len(values) - 1
    return [values[round(place * last / (_CHART_POINTS - 1))] for place in range(_CHART_POINTS)]
