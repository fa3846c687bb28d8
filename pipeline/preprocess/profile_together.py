"""The parts of the profile page about columns that go together."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.preprocess.profile_records import MissingPattern, Relation
from pipeline.preprocess.profile_text import MEASURE_NAMES, percent, text

_SHOWN_COLUMNS = 8


def missing_section(patterns: Sequence[MissingPattern]) -> str:
    """Which columns miss their values in the same rows; nothing where none does."""
    if not patterns:
        return ""
    rows = "".join(
        f"<tr><td>{_names(one.columns)}</td>"
        f'<td class="right"><span class="meter"><i style="width:{100 * one.fraction:.1f}%"></i>'
        f"</span>{percent(one.fraction)}</td></tr>"
        for one in patterns
    )
    head = '<tr><th>missing together</th><th class="right">of the training rows</th></tr>'
    return f'<h2>Missing values</h2><div class="block scroll"><table>{head}{rows}</table></div>'


def _names(columns: Sequence[str]) -> str:
    named = ", ".join(text(name) for name in columns[:_SHOWN_COLUMNS])
    rest = len(columns) - _SHOWN_COLUMNS
    return f'{named} <span class="quiet">and {rest} more</span>' if rest > 0 else named


def relations_section(relations: Sequence[Relation]) -> str:
    """Pairs of columns that go together; nothing where there is none."""
    if not relations:
        return ""
    rows = "".join(
        f"<tr><td>{text(one.first)}</td><td>{text(one.second)}</td>"
        f'<td class="number"><span class="meter">'
        f'<i style="width:{100 * abs(one.value):.1f}%"></i></span>'
        f"{MEASURE_NAMES[one.measure]} {one.value:.2f}</td></tr>"
        for one in relations
    )
    head = "<tr><th>column</th><th>goes with</th><th>how closely</th></tr>"
    return (
        f'<h2>Columns that go together</h2><div class="block scroll"><table>{head}{rows}'
        "</table></div>"
    )
